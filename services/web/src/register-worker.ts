declare global {
  interface Window {
    /** Trusted Types (W3C), where the browser has them. */
    readonly trustedTypes?: {
      createPolicy(
        name: string,
        rules: { readonly createScriptURL: () => string },
      ): { createScriptURL(input: string): string };
    };
  }
}

const URL_OF_WORKER = "/service-worker.js";

/** Lets the service worker keep the page. Where there is none, as in some private windows, the page works while the gateway does. */
export function registerWorker(): void {
  if (!("serviceWorker" in navigator)) return;
  // The only policy that the content security policy allows, and it makes one address, whatever it is given.
  const policy = window.trustedTypes?.createPolicy("service-worker", {
    createScriptURL: () => URL_OF_WORKER,
  });
  const register = () => {
    navigator.serviceWorker
      .register(policy?.createScriptURL(URL_OF_WORKER) ?? URL_OF_WORKER)
      // The next load tries again.
      .catch(() => {});
  };
  // Not before the page has what it needs itself.
  if (document.readyState === "complete") register();
  else window.addEventListener("load", register, { once: true });
}

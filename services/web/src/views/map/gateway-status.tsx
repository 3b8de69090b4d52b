import { gatewayAnswers, UNREACHABLE } from "../../state/products.ts";

/** Without a supervisor the page knows only whether the gateway answers. */
export function GatewayStatus() {
  return (
    <section class="process-status" aria-label="The store">
      <p class="process-status-text">{gatewayAnswers.value ? "The store is open." : UNREACHABLE}</p>
    </section>
  );
}

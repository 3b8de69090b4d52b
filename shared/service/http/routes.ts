/** What the router knows of a route. */
interface Route {
  readonly method: string;
  readonly path: string;
}

/**
 * The methods that a path takes, for the Allow header of a 405 (RFC 9110 §15.5.6); none when no route has
 * this path. Runs only for requests that found no route.
 */
export function allowedMethods(routes: readonly Route[], path: string): string[] {
  const methods = new Set<string>();
  for (const route of routes) {
    if (!matches(route.path, path)) continue;
    // A WebSocket begins as a GET; a HEAD is answered wherever a GET is.
    const method = route.method === "WS" ? "GET" : route.method;
    methods.add(method);
    if (method === "GET") methods.add("HEAD");
  }
  return [...methods].sort();
}

function matches(pattern: string, path: string): boolean {
  const wanted = segments(pattern);
  const given = segments(path);
  for (const [index, segment] of wanted.entries()) {
    if (segment === "*") return true;
    const value = given[index];
    if (segment.startsWith(":")) {
      if (!value && !segment.endsWith("?")) return false;
    } else if (segment !== value) return false;
  }
  return given.length <= wanted.length;
}

/** One slash at the end makes no difference to the router; any other empty segment does. */
function segments(path: string): string[] {
  return path.replace(/^\//, "").replace(/\/$/, "").split("/");
}

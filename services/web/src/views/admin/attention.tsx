import { LATE_S, needs } from "../../state/attention.ts";

/** What needs an operator, in one line of a fixed height. */
export function Attention() {
  const list = needs.value;
  return (
    <section class={`attention ${list?.length ? "attention-some" : ""}`} aria-label="Needs attention">
      {list === undefined ? (
        <p>The supervisor has not answered: what needs attention is not known.</p>
      ) : list.length === 0 ? (
        <p>Nothing needs attention.</p>
      ) : (
        <>
          <p>Needs attention:</p>
          <ul>
            {list.map(({ text, href }) => (
              <li key={text}>
                <a
                  href={href}
                  title={text.startsWith("late") ? `Messages wait for more than ${LATE_S} s` : undefined}
                >
                  {text}
                </a>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

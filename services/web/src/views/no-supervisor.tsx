/** What stands in the place of a view that is for those who run the store, where nobody can. */
export function NoSupervisor({ title }: { title: string }) {
  return (
    <section class="column">
      <h1 tabIndex={-1}>{title}</h1>
      <p>
        This store runs without a supervisor, as it would in production: there is only the shop. Run{" "}
        <code>npm start</code> on your own machine to look behind the counter.
      </p>
    </section>
  );
}

export function CounterView() {
  return <section class="column" />;
}

export function FiguresView() {
  return <section class="column" />;
}

export function TourView() {
  return <section class="column" />;
}

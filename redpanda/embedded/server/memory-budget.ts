/**
 * Bytes of memory that all connections share, granted first come first served.
 *
 * A frame is granted whole, by its announced length, before its bytes are received. So nobody waits with half a frame
 * for the other half, and those that hold memory can complete.
 */
export class MemoryBudget {
  #used = 0;
  /** In the order of the calls. */
  readonly #waiting = new Set<Reservation>();

  /** @param limit in bytes. A larger reservation is granted when there is no other. */
  constructor(private readonly limit: number) {}

  /** The bytes granted. */
  get used(): number {
    return this.#used;
  }

  get isExceeded(): boolean {
    return this.#used > this.limit;
  }

  /** The reservations that wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** @param onGranted called when the reservation is granted later, not when it is granted at once. */
  reserve(bytes: number, onGranted: () => void): Reservation {
    const reservation = new Reservation(bytes, onGranted, (released) => {
      this.#waiting.delete(reservation);
      this.subtract(released);
    });
    if (this.#waiting.size === 0 && this.#fits(bytes)) this.#grant(reservation);
    else this.#waiting.add(reservation);
    return reservation;
  }

  /** Counts memory that is in use already, also above the limit. Give it back with `subtract`. */
  add(bytes: number): void {
    this.#used += bytes;
  }

  subtract(bytes: number): void {
    this.#used -= bytes;
    if (this.#waiting.size > 0) this.#grantWaiting();
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.limit;
  }

  #grant(reservation: Reservation): void {
    this.#used += reservation.bytes;
    reservation.isGranted = true;
  }

  #grantWaiting(): void {
    for (const reservation of this.#waiting) {
      if (!this.#fits(reservation.bytes)) return;
      this.#waiting.delete(reservation);
      this.#grant(reservation);
      reservation.onGranted();
    }
  }
}

export class Reservation {
  isGranted = false;
  #isReleased = false;

  constructor(
    readonly bytes: number,
    readonly onGranted: () => void,
    private readonly onReleased: (bytes: number) => void,
  ) {}

  /** Gives the memory back, or the place in the queue. A second call has no effect. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.onReleased(this.isGranted ? this.bytes : 0);
  }
}

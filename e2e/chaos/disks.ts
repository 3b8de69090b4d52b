/** The disk of an instance, with its database. */
export interface Disk {
  /** Whether it is gone, with what only it had. */
  readonly isLost: boolean;
}

/** The disks of the instances of a store, of which an instance gets a new one each time that its disk is lost. */
export class Disks {
  readonly #disks = new Map<string, { isLost: boolean }>();

  /** That of an instance now. @param name of its process */
  of(name: string): Disk {
    const disk = this.#disks.get(name) ?? { isLost: false };
    this.#disks.set(name, disk);
    return disk;
  }

  /** To be called when its process has ended and its database is deleted, and before it is started again. */
  lose(name: string): void {
    const disk = this.#disks.get(name);
    if (disk !== undefined) disk.isLost = true;
    this.#disks.delete(name);
  }
}

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Certificates for tests, made by the `openssl` command at each run. No key is part of the repository. */
export const hasOpenssl = Bun.which("openssl") !== null;

const EC_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** The files of a certificate and of its key, in PEM. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

interface Subject {
  /** As OpenSSL writes a distinguished name: `/CN=order/O=Store`. */
  readonly subject: string;
  /** As OpenSSL writes subjectAltName: `DNS:localhost,IP:127.0.0.1`. */
  readonly names: string;
  /** 1 unless given. With 0 the certificate expires within a second. */
  readonly days?: number;
}

/** A certificate authority in a folder of its own. */
export class CertificateAuthority {
  /** Its own certificate. */
  readonly cert: string;
  readonly #folder: string;
  readonly #key: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.cert = join(folder, "ca.pem");
    this.#key = join(folder, "ca.key");
  }

  /** @param folder for its files and for those of the certificates that it issues; made when it is missing */
  static async create(folder: string): Promise<CertificateAuthority> {
    mkdirSync(folder, { recursive: true });
    const authority = new CertificateAuthority(folder);
    const { cert } = authority;
    const subject = ["-subj", "/CN=test authority", "-days", "1"];
    await openssl(["req", "-x509", ...EC_KEY, ...subject, "-keyout", authority.#key, "-out", cert]);
    return authority;
  }

  /** @param file its name, without an extension */
  async issue(file: string, { subject, names, days = 1 }: Subject): Promise<CertificateFiles> {
    const [cert = "", key = "", request = "", extensions = ""] = ["pem", "key", "csr", "ext"].map((end) =>
      join(this.#folder, `${file}.${end}`),
    );
    writeFileSync(extensions, `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    await openssl(["req", "-new", ...EC_KEY, "-subj", subject, "-keyout", key, "-out", request]);
    // Not counted in a file, which certificates that are made at the same time would share.
    const serial = `0x${crypto.randomUUID().replaceAll("-", "")}`;
    const by = ["-CA", this.cert, "-CAkey", this.#key, "-set_serial", serial, "-days", String(days)];
    await openssl(["x509", "-req", "-in", request, ...by, "-extfile", extensions, "-out", cert]);
    return { cert, key };
  }
}

/** Encrypts a key, as PKCS #8. @returns the new file */
export async function encryptKey(key: string, password: string): Promise<string> {
  const encrypted = `${key}.encrypted`;
  await openssl(["pkcs8", "-topk8", "-in", key, "-passout", `pass:${password}`, "-out", encrypted]);
  return encrypted;
}

/** A certificate and its key in one file, as Apache Kafka reads a keystore in PEM. @returns the new file */
export function keystore({ cert, key }: CertificateFiles): string {
  const file = `${cert}.keystore`;
  writeFileSync(file, readFileSync(key, "utf8") + readFileSync(cert, "utf8"));
  return file;
}

async function openssl(args: readonly string[]): Promise<void> {
  const child = Bun.spawn(["openssl", ...args], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const errors = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`openssl ${args[0]} failed: ${errors}`);
}

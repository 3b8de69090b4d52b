/** Whether only this machine reaches a server at this host: 127.0.0.0/8, ::1 or localhost, in their usual notation. */
export function isLoopback(host: string): boolean {
  return /^(localhost|::1|127(\.\d{1,3}){3})$/i.test(host);
}

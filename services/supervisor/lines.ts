/** A line of a process longer than this is cut into several: a process must not fill its supervisor's memory. */
const MAX_LINE_LENGTH = 64 * 1024;

/**
 * Calls back for every line of a stream, without its line end; also for a last one that lacks it.
 * Resolves when the stream has ended. Bytes that are no UTF-8 come out as replacement characters.
 */
export async function eachLine(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  const take = (text: string) => {
    rest += text;
    let end = rest.indexOf("\n");
    while (end >= 0) {
      onLine(rest.slice(0, end).replace(/\r$/, ""));
      rest = rest.slice(end + 1);
      end = rest.indexOf("\n");
    }
    while (rest.length > MAX_LINE_LENGTH) {
      onLine(rest.slice(0, MAX_LINE_LENGTH));
      rest = rest.slice(MAX_LINE_LENGTH);
    }
  };
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
  take(decoder.decode());
  if (rest !== "") onLine(rest);
}

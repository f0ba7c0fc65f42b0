// Lines from a stream, bounded: one that is too long is dropped as it comes, and never held.

const NEWLINE = 0x0a

/** Each line without its end; null for one longer than `maxBytes`. What stands after the last end of a line is none. */
export async function* readLines(stream: AsyncIterable<unknown>, maxBytes: number): AsyncGenerator<string | null> {
  let held: Buffer[] = []
  let length = 0
  for await (const chunk of stream) {
    let rest = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk))
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      length += end
      yield length > maxBytes ? null : Buffer.concat([...held, rest.subarray(0, end)]).toString('utf8')
      held = []
      length = 0
      rest = rest.subarray(end + 1)
    }
    length += rest.length
    if (length > maxBytes) held = []
    else if (rest.length > 0) held.push(rest)
  }
}

// Server-sent events from bytes (WHATWG HTML, 9.2), bounded. Knows nothing of what they mean.
import { FeedFault } from './feed-fault.ts'

export type ServerSentEvent = { readonly event: string; readonly data: string }

const strictDecoder = () => new TextDecoder('utf-8', { fatal: true })

const decode = (decoder: ReturnType<typeof strictDecoder>, bytes: Uint8Array): string => {
  try {
    return decoder.decode(bytes, { stream: true })
  } catch {
    throw new FeedFault('feed is not UTF-8')
  }
}

/** Yields each event that has data. FeedFault on invalid UTF-8 and on an event longer than `maxEventChars`. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  maxEventChars: number,
): AsyncGenerator<ServerSentEvent> {
  const decoder = strictDecoder()
  const reader = body.getReader()
  let rest = ''
  let event = ''
  let data: string[] = []
  let chars = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const lines = (rest + decode(decoder, value)).split('\n')
      rest = lines.pop() ?? ''
      for (const raw of lines) {
        const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw
        chars += line.length
        if (chars > maxEventChars) throw new FeedFault(`feed event is longer than ${maxEventChars} characters`)
        if (line === '') {
          if (data.length > 0) yield { event, data: data.join('\n') }
          event = ''
          data = []
          chars = 0
        } else if (line.startsWith('data:')) {
          data.push(line.slice(line[5] === ' ' ? 6 : 5))
        } else if (line.startsWith('event:')) {
          event = line.slice(line[6] === ' ' ? 7 : 6)
        }
      }
      if (chars + rest.length > maxEventChars)
        throw new FeedFault(`feed event is longer than ${maxEventChars} characters`)
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

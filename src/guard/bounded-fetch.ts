// Requests to the broker with every limit explicit: time, size, no redirects. Throws on a broken world; never logs a header.

export type Fetch = (input: string, init?: RequestInit) => Promise<Response>

/** Runs `work` with a signal that aborts after `timeoutMs` or with `parent`, and leaves no timer or listener behind. */
const withDeadline = async <T>(
  parent: AbortSignal,
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  const controller = new AbortController()
  const abort = () => controller.abort(parent.reason)
  const timer = setTimeout(() => controller.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  if (parent.aborted) abort()
  parent.addEventListener('abort', abort, { once: true })
  try {
    return await work(controller.signal)
  } finally {
    clearTimeout(timer)
    parent.removeEventListener('abort', abort)
  }
}

const readBounded = async (response: Response, maxBytes: number): Promise<string> => {
  if (!response.body) return ''
  const reader: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader()
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let text = ''
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    bytes += value.byteLength
    if (bytes > maxBytes) {
      await reader.cancel()
      throw new Error(`answer is longer than ${maxBytes} bytes`)
    }
    text += decoder.decode(value, { stream: true })
  }
}

export type JsonAnswer = { readonly status: number; readonly body: unknown }

/** Fetches JSON. `body` is undefined unless the status is 200. Throws on network errors, redirects, time, size, and non-JSON. */
export const fetchJson = (
  fetch: Fetch,
  url: string,
  init: RequestInit,
  limits: { readonly timeoutMs: number; readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<JsonAnswer> =>
  withDeadline(limits.signal, limits.timeoutMs, async (signal) => {
    const response = await fetch(url, { ...init, redirect: 'error', signal })
    if (response.status !== 200) {
      await response.body?.cancel()
      return { status: response.status, body: undefined }
    }
    return { status: 200, body: JSON.parse(await readBounded(response, limits.maxBytes)) as unknown }
  })

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The message of whatever was thrown, for status and logs. */
export const reasonOf = (thrown: unknown): string => {
  if (!(thrown instanceof Error)) return String(thrown)
  return thrown.cause instanceof Error ? `${thrown.message}: ${thrown.cause.message}` : thrown.message
}

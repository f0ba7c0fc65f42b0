// One HTTP request exactly as written: the path is sent as it is, and a header may be there twice.

import { type IncomingHttpHeaders, request } from 'node:http'

export type RawAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string }

export type RawRequest = {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string
}

/** `origin` is scheme, host and port; `target` is what stands in the request line. */
export function rawRequest(
  origin: string,
  target: string,
  { method, headers, body }: RawRequest = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(origin)
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: hostname,
        port,
        path: target,
        method: method ?? 'GET',
        headers: { ...headers },
        agent: false,
        timeout: 10_000,
      },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => {
          text += chunk
        })
        answer.on('error', reject)
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }))
      },
    )
    sent.on('timeout', () => sent.destroy(new Error(`no answer from ${origin}${target}`)))
    sent.on('error', reject)
    sent.end(body)
  })
}

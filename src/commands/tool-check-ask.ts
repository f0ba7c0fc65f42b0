// One request of the check, exactly as written: a header may be there twice, no redirect is followed, nothing is retried.

import { request as httpRequest, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'

/** Silence for longer than this ends a request (milliseconds). */
const TIMEOUT_MS = 10_000
/** As much of an answer as is looked into. */
const MAX_BODY_BYTES = 1024 * 1024

export type Target = { readonly method: string; readonly url: URL }

export type Answered =
  | { readonly status: number /** Headers and the beginning of the body. */; readonly text: string }
  | { readonly status: null; readonly failure: string }

/** `bearers` become one Authorization header each. */
export function ask(
  { method, url }: Target,
  bearers: readonly string[],
  headers: Readonly<Record<string, string>> = {},
): Promise<Answered> {
  const options: RequestOptions = {
    method,
    headers: [
      'Host',
      url.host,
      'Accept',
      '*/*',
      'User-Agent',
      'hallpass-tool-check',
      ...(method === 'GET' || method === 'HEAD' ? [] : ['Content-Length', '0']),
      ...Object.entries(headers).flat(),
      ...bearers.flatMap((bearer) => ['Authorization', `Bearer ${bearer}`]),
    ],
    agent: false,
    timeout: TIMEOUT_MS,
  }
  const open = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve) => {
    const failed = (error: Error) =>
      resolve({ status: null, failure: 'code' in error ? String(error.code) : error.message })
    const sent = open(url, options, (answer) => {
      const chunks: Buffer[] = []
      let length = 0
      const done = () =>
        resolve({
          status: answer.statusCode ?? 0,
          text: `${answer.rawHeaders.join('\n')}\n${Buffer.concat(chunks).toString('utf8')}`,
        })
      answer.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        length += chunk.length
        if (length < MAX_BODY_BYTES) return
        done()
        sent.destroy()
      })
      answer.on('end', done)
      answer.on('error', failed)
    })
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')))
    sent.on('error', failed)
    sent.end()
  })
}

// An attacker's own HTTP: headers as they are given, doubled ones too, from any loopback address, so that one attack's
// failures do not slow the next one down.

import { type IncomingMessage, request } from 'node:http'

export type Answer = {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
  readonly json: Readonly<Record<string, unknown>>
}
type Send = {
  readonly method?: string
  /** Name, value, name, value: as they go over the wire. */
  readonly headers?: readonly string[]
  readonly body?: string | Uint8Array
  /** A loopback address to come from; a new one each time unless given. */
  readonly from?: string
}

let strangers = 0
export const anotherAddress = (): string => {
  strangers++
  return `127.7.${(strangers >> 8) & 255}.${strangers & 255}`
}

export function send(url: string, { method, headers = [], body, from = anotherAddress() }: Send = {}): Promise<Answer> {
  const { host } = new URL(url)
  const named = (name: string) => headers.some((header, i) => i % 2 === 0 && header.toLowerCase() === name)
  return new Promise((resolve, reject) => {
    const sending = request(
      url,
      {
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        localAddress: from,
        agent: false,
        headers: [
          ...(named('host') ? [] : ['Host', host]),
          ...(body === undefined || named('content-length') || named('transfer-encoding')
            ? []
            : ['Content-Length', String(Buffer.byteLength(body))]),
          ...headers,
        ],
      },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => {
          text += chunk
        })
        answer.on('error', reject)
        answer.on('end', () => {
          const isJson = /json/.test(answer.headers['content-type'] ?? '')
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text,
            json: isJson && text !== '' ? JSON.parse(text) : {},
          })
        })
      },
    )
    sending.on('error', reject)
    sending.end(body)
  })
}

export const FORM = ['Content-Type', 'application/x-www-form-urlencoded'] as const
export const bearer = (token: string) => ['Authorization', `Bearer ${token}`] as const
export const form = (fields: Readonly<Record<string, string>>) => new URLSearchParams(fields).toString()

// Calls through the proxy as bytes on a socket: request lines, paths, queries, headers and framing that were changed. What
// reaches the tool is one of the calls that may be made, carries the tool's credential once and nothing of ours, and is
// answered; whatever else was sent has been refused.

import { connect } from 'node:net'
import { PROXY_METHODS } from '../../../src/core/path-rule.ts'
import { type ProxyStage, proxyStage, TOOL_SECRET } from '../../attacks/proxy-stage.ts'
import { mutateBytes, mutateText } from '../mutate.ts'
import type { Random } from '../random.ts'
import { mustHold, type Target } from '../target.ts'

/** How long a socket on which nothing more comes is listened to: what was cut short is waited for in vain. Milliseconds. */
const QUIET_MS = 100

const PATHS = ['/x/a', '/x/a/b.json', '/x/%C3%A9?q=1', '/x/', '/x/a?space=eng', '/s/eng/page', '/admin', '/', '']
const ODD_PATHS = [
  '/x/../admin',
  '/x/%2e%2e/admin',
  '/x/..;/admin',
  '/x//admin',
  '/x/a%2f..%2fadmin',
  '/x/%252e%252e/admin',
  '/x/a\\..\\admin',
  '/x/a%00',
  '/x/%61dmin',
  '/x/a#/admin',
]
const HEADERS = [
  'Accept: text/*',
  'Connection: keep-alive, Authorization',
  'Upgrade: websocket',
  'Connection: upgrade',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  'Sec-WebSocket-Version: 13',
  'HTTP2-Settings: AAMAAABkAAQAAP__',
  'Expect: 100-continue',
  'Cookie: session=1',
  'X-Forwarded-For: 127.0.0.1',
  'X-Forwarded-Host: evil.example.com',
  'X-Original-URL: /admin',
  'X-HTTP-Method-Override: DELETE',
  'Authorization: Basic YTpi',
  'Proxy-Authorization: Bearer x',
  'Host: evil.example.com',
  'Te: trailers',
  'Trailer: Authorization',
  'Content-Length: 0',
  'Content-Length: 5',
  'Content-Length: +5',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding:\tchunked',
  'Range: bytes=0-1',
]
/** What a tool would take for a call of its own if a body were framed in another way than we framed it. */
const HIDDEN = 'DELETE /base/admin HTTP/1.1\r\nHost: a\r\n\r\n'
const BODIES = [
  '',
  'hello',
  HIDDEN,
  `5\r\nhello\r\n0\r\n\r\n${HIDDEN}`,
  `5;a=b\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n`,
  `0\r\n\r\n${HIDDEN}`,
  `ffffffffffffffff1\r\n${HIDDEN}`,
]

const METHODS = ['GET', 'GET', 'POST', 'POST', 'PUT', 'DELETE', 'HEAD']
const ODD_METHODS = ['OPTIONS', 'CONNECT', 'TRACE', 'get', 'PRI']

function written(random: Random, token: string): string {
  const method = random.pick(random.oneIn(6) ? ODD_METHODS : METHODS)
  const plain = random.pick(random.oneIn(4) ? ODD_PATHS : PATHS)
  const path = random.oneIn(4) ? mutateText(random, plain) : plain
  const tool = random.oneIn(10) ? random.pick(['other', 'Wiki', 'wiki%2f', 'wiki;', '', '..', 'none']) : 'wiki'
  const headers = Array.from({ length: random.oneIn(2) ? 0 : random.below(4) }, () => random.pick(HEADERS))
  const auth = `Authorization: Bearer ${token}`
  if (!random.oneIn(10)) headers.splice(random.below(headers.length + 1), 0, auth)
  const body = random.oneIn(2) || method === 'GET' ? '' : random.pick(BODIES)
  const framed =
    body === '' || random.oneIn(4)
      ? []
      : [random.oneIn(2) ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`]
  if (!random.oneIn(4)) headers.push('Connection: close')
  const lines = [`${method} /tools/${tool}${path} HTTP/1.1`, 'Host: 127.0.0.1', ...headers, ...framed]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

/** Everything that was answered until the server closed, or nothing came any more. `leaves`: the client does not wait for it. */
function exchanged(port: number, bytes: Uint8Array, leaves: boolean): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let text = ''
    const done = () => {
      socket.destroy()
      resolve(text)
    }
    socket.setTimeout(QUIET_MS, done)
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    for (const event of ['end', 'error', 'close'] as const) socket.on(event, done)
    if (leaves) socket.end(bytes)
    else socket.write(bytes)
  })
}

const valuesOf = (raw: readonly string[], name: string) =>
  raw.filter((_, at) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === name)

/** As the manifest's rules have it: `/x/**` in any of the proxy's methods, `/s/{space}/**` by GET, of any space. */
function mustBeAllowed({ method, url }: ProxyStage['heard'][number]): void {
  mustHold(/^\/base\/(x|s)\//.test(url), 'another path reached the tool:', url)
  mustHold(!/\/\.{1,2}(\/|$|\?)|\\|;|%2e|%2f|%25|%00|#/i.test(url.split('?')[0] ?? ''), 'an ambiguous path:', url)
  mustHold(
    PROXY_METHODS.some((known) => known === method),
    'another method reached the tool:',
    method,
  )
}

const OURS = ['cookie', 'upgrade', 'te', 'trailer', 'proxy-authorization', 'expect', 'http2-settings']
const BELIEVED = ['x-forwarded-for', 'x-forwarded-host', 'x-original-url', 'x-http-method-override']

export const proxy: Target = {
  name: 'proxy',
  freshAfter: 3_000,
  async open() {
    const stage = await proxyStage()
    stage.does = (incoming, outgoing) => {
      incoming.resume()
      incoming.on('end', () => outgoing.end('done'))
    }
    const { proxyToken } = stage
    const signature = proxyToken.split('.')[2] ?? ''
    return {
      async feed(random, note) {
        const first = written(random, proxyToken)
        const all = random.oneIn(4) ? first + written(random, proxyToken) : first
        const bytes = random.oneIn(3) ? mutateBytes(random, Buffer.from(all, 'latin1')) : Buffer.from(all, 'latin1')
        note(Buffer.from(bytes).toString('latin1'))
        stage.heard.length = 0
        const text = await exchanged(stage.port, bytes, random.oneIn(8))
        const statuses = [...text.matchAll(/HTTP\/1\.1 (\d\d\d) /g)].map(([, status]) => Number(status))
        for (const status of statuses)
          mustHold(status < 500 || status === 501, `answered ${status}`, text.slice(0, 2_000))
        mustHold(!text.includes(TOOL_SECRET), 'the tool’s credential was answered')
        mustHold(!text.includes(signature), 'our own was answered')
        for (const one of stage.heard) {
          mustBeAllowed(one)
          const { raw } = one
          const presented = valuesOf(raw, 'authorization')
          mustHold(presented.join() === `Bearer ${TOOL_SECRET}`, 'presented to the tool:', presented)
          mustHold(valuesOf(raw, 'host').join() === `127.0.0.1:${stage.upstreamPort}`, 'the host that it was told', raw)
          for (const name of [...OURS, ...BELIEVED]) mustHold(valuesOf(raw, name).length === 0, `it was told ${name}`)
          mustHold(!raw.join('\n').includes(signature), 'our own credential reached the tool')
          const framings = [...valuesOf(raw, 'content-length'), ...valuesOf(raw, 'transfer-encoding')]
          mustHold(framings.length <= 1, 'it was framed in two ways', raw)
        }
        // What was cut short may be asked and never answered; one request can never be two at the tool.
        const asked =
          Buffer.from(bytes)
            .toString('latin1')
            .split(/HTTP\/1\.\d/i).length - 1
        mustHold(stage.heard.length <= asked, `${stage.heard.length} calls of`, asked)
        const through = statuses.filter((status) => status === 200).length
        mustHold(through <= stage.heard.length, 'an answer without a call', text)
        return stage.heard.length > 0 ? `${stage.heard.length} through` : `refused ${statuses[0] ?? 'without a word'}`
      },
      close: () => stage.close(),
    }
  },
}

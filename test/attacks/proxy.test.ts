// The proxy attacked over raw sockets: framing, paths, headers, targets and tokens. Whatever is refused never reaches
// the tool, and whatever reaches it carries the tool's credential and nothing of ours.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { answerWhatWasAsked, type ProxyStage, proxyStage, TOOL_SECRET } from './proxy-stage.ts'

let s: ProxyStage
beforeAll(async () => {
  s = await proxyStage({}, { pass: ['x-org'] })
})
afterAll(() => s.close())
beforeEach(() => {
  s.heard.length = 0
  s.does = answerWhatWasAsked
})

const bearer = () => `Authorization: Bearer ${s.proxyToken}`
const head = (lines: readonly string[]) => [...lines, '', ''].join('\r\n')

describe('what goes through', () => {
  test('a call reaches the tool with its own credential in place of ours, and comes back (P7)', async () => {
    const answer = await s.call('/tools/wiki/x/a%20b?q=1&q=2', [bearer(), 'Cookie: a=b', 'X-Org: 7', 'Accept: text/*'])
    expect(answer.status).toBe(200)
    const [asked] = s.heard
    expect(asked).toMatchObject({ method: 'GET', url: '/base/x/a%20b?q=1&q=2' })
    const raw = asked!.raw
    const of = (name: string) => raw.filter((_, at) => at % 2 === 1 && raw[at - 1]!.toLowerCase() === name)
    expect(of('authorization')).toEqual([`Bearer ${TOOL_SECRET}`])
    expect(of('host')).toEqual([`127.0.0.1:${s.upstreamPort}`])
    expect([of('accept'), of('x-org'), of('via')]).toEqual([['text/*'], ['7'], ['1.1 hallpass']])
    expect(raw.map((text) => text.toLowerCase())).not.toContain('cookie')
    expect(JSON.stringify(raw)).not.toContain(s.proxyToken)
    for (const header of ['Content-Security-Policy: sandbox', 'Cache-Control: no-store', 'Via: 1.1 hallpass'])
      expect(answer.head).toContain(header)
  })

  test('the call is on the trail before the tool sees it, without what its query says (P1, P7)', async () => {
    let before: string[] = []
    s.does = async (_, outgoing) => {
      before = (await s.h.trail()).map(({ kind }) => kind)
      outgoing.end('seen')
    }
    await s.call('/tools/wiki/x/audited?key=hunter2')
    expect(before.at(-1)).toBe('tool.called')
    const called = (await s.h.trail()).findLast(({ kind }) => kind === 'tool.called')
    expect(called).toMatchObject({
      actor: { type: 'agent', id: 'bot' },
      subject: { agent: 'bot', tool: 'wiki', grant: s.grant.id, session: s.session.id },
      body: { method: 'GET', target: '/x/audited?key', scope: 'read' },
    })
    await expect
      .poll(async () => (await s.h.trail()).find((r) => r.kind === 'tool.answered' && r.request === called?.request))
      .toMatchObject({ body: { status: 200, ended: 'whole', sentBytes: 0 } })
  })

  test.each([
    'Content-Length: 5\r\n\r\nhello',
    'Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Late: 1\r\n\r\n',
  ])('a body arrives whole, framed anew: %j', async (framed) => {
    const text = await s.speak(
      `POST /tools/wiki/x/b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${bearer()}\r\nExpect: 100-continue\r\n${framed}`,
    )
    expect(text).toContain('HTTP/1.1 200')
    expect(s.heard.at(-1)).toMatchObject({ body: 'hello' })
    expect(JSON.stringify(s.heard.at(-1)!.raw)).not.toMatch(/expect|x-late/i)
  })
})

describe('a token is good at its own edge alone (S13)', () => {
  test('none, another tool’s, an exchange token, a session’s, a doubled one and one in the query are refused', async () => {
    const { token: session } = await s.h.deps.signer.signToken({ sub: 'bot', sid: s.session.id, aud: 'x' })
    for (const headers of [
      [],
      [`Authorization: Bearer ${s.otherToken}`],
      [`Authorization: Bearer ${s.exchangeToken}`],
      [`Authorization: Bearer ${session}`],
      [`Authorization: Bearer ${s.proxyToken.slice(0, -4)}AAAA`],
      [bearer(), bearer()],
      [`Authorization: Basic ${s.proxyToken}`],
      [`X-Authorization: Bearer ${s.proxyToken}`, `Cookie: access_token=${s.proxyToken}`],
    ])
      expect((await s.call('/tools/wiki/x/a', headers)).status).toBe(401)
    expect((await s.call(`/tools/wiki/x/a?access_token=${s.proxyToken}`, [])).status).toBe(401)
    expect((await s.call('/tools/nowhere/x/a')).status).toBe(401)
    expect(s.heard).toEqual([])
  })

  test('a proxy token is not a credential of the tool: its audience is the proxy, and it is inactive at the tool', async () => {
    const claims = JSON.parse(Buffer.from(s.proxyToken.split('.')[1]!, 'base64url').toString())
    expect(claims.aud).toBe('https://hallpass.example.com/tools/wiki')
    const { checkCredential } = await import('../../src/actions/check-credential.ts')
    const verify = (token: string) => s.h.deps.signer.verifyToken(token)
    expect(await checkCredential(s.h.deps, verify, 'wiki', s.proxyToken)).toMatchObject({ ok: false })
    expect(await checkCredential(s.h.deps, verify, 'wiki', s.exchangeToken)).toMatchObject({ ok: true })
  })
})

describe('a request that two programs could frame differently never reaches the tool', () => {
  const start = () => ['POST /tools/wiki/x/f HTTP/1.1', 'Host: 127.0.0.1', bearer()]
  test.each([
    ['CL.TE', ['Content-Length: 6', 'Transfer-Encoding: chunked'], '0\r\n\r\nX'],
    ['TE.CL', ['Transfer-Encoding: chunked', 'Content-Length: 3'], '8\r\nSMUGGLED\r\n0\r\n\r\n'],
    ['two lengths', ['Content-Length: 5', 'Content-Length: 6'], 'hello!'],
    ['two equal lengths', ['Content-Length: 5', 'Content-Length: 5'], 'hello'],
    ['a list of lengths', ['Content-Length: 5, 5'], 'hello'],
    ['a length with a sign', ['Content-Length: +5'], 'hello'],
    ['a length in hex', ['Content-Length: 0x5'], 'hello'],
    ['a coding of another name', ['Transfer-Encoding: xchunked'], '0\r\n\r\n'],
    ['two codings', ['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'],
    ['a coding twice', ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
    ['identity', ['Transfer-Encoding: identity'], ''],
    ['a space before the colon', ['Transfer-Encoding : chunked'], '0\r\n\r\n'],
    ['a folded header', ['X: 1', ' Transfer-Encoding: chunked'], '0\r\n\r\n'],
    ['a bare CR', ['X: 1\rTransfer-Encoding: chunked'], '0\r\n\r\n'],
    ['a bare LF', ['X: 1\nTransfer-Encoding: chunked\nContent-Length: 5'], '0\r\n\r\n'],
    ['a chunk length with a plus', ['Transfer-Encoding: chunked'], '+5\r\nhello\r\n0\r\n\r\n'],
    ['a NUL in a header', ['X: a\0b', 'Content-Length: 0'], ''],
  ])('%s', async (_, lines, body) => {
    s.does = (incoming, outgoing) => {
      incoming.on('error', () => {})
      answerWhatWasAsked(incoming, outgoing)
    }
    const text = await s.speak(`${head([...start(), ...lines, 'Connection: close'])}${body}`)
    const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => status).filter((n) => n !== '100')
    expect(statuses.every((status) => status !== '200')).toBe(true)
    expect(s.heard.filter(({ body: got }) => got.length > 0)).toEqual([])
  })

  test('a request hidden in the body of another is a body, and is not answered', async () => {
    const hidden = `GET /tools/wiki/admin HTTP/1.1\r\nHost: 127.0.0.1\r\n${bearer()}\r\n\r\n`
    const answer = await s.call('/tools/wiki/x/f', [bearer()], 'POST', hidden)
    expect(answer.status).toBe(200)
    expect(s.heard.map(({ url }) => url)).toEqual(['/base/x/f'])
    expect(s.heard[0]!.body).toBe(hidden)
  })

  test('a GET with a body is refused', async () => {
    expect((await s.call('/tools/wiki/x/f', [bearer()], 'GET', 'hello')).status).toBe(400)
    expect(s.heard).toEqual([])
  })
})

describe('a path is matched as the tool will read it, or refused (P2)', () => {
  test.each([
    '/tools/wiki/admin',
    '/tools/wiki/x/../admin',
    '/tools/wiki/x/%2e%2e/admin',
    '/tools/wiki/x/..%2fadmin',
    '/tools/wiki/x/..\\admin',
    '/tools/wiki/x//../../admin',
    '/tools/wiki/x/a;/../admin',
    '/tools/wiki/x/%252e%252e/admin',
    '/tools/wiki//x/a',
    '/tools/wiki/x/a%00',
    '/tools/wiki/%78/a',
    '/tools/../tools/wiki/x/a',
    '/tools//wiki/x/a',
    '/tools/wiki%2fx/a',
    '/tools/WIKI/x/a',
    '/tools/wikix/a',
    '/TOOLS/wiki/x/a',
    'http://127.0.0.1/tools/wiki/x/a',
    'http://evil.example/tools/wiki/x/a',
    '//evil.example/tools/wiki/x/a',
    '*',
  ])('%s', async (target) => {
    const { status } = await s.call(target)
    expect([400, 401, 403, 404, 405]).toContain(status)
    expect(s.heard).toEqual([])
  })

  test('a method that no rule names, and what is no method of a tool, are refused', async () => {
    for (const [method, status] of [
      ['TRACE', 405],
      ['PROPFIND', 405],
      ['get', 400],
    ] as const)
      expect({ method, status: (await s.call('/tools/wiki/x/a', [bearer()], method)).status }).toEqual({
        method,
        status,
      })
    expect(await s.speak(head(['CONNECT 127.0.0.1:80 HTTP/1.1', 'Host: 127.0.0.1', bearer()]))).not.toContain(' 200 ')
    expect(s.heard).toEqual([])
  })
})

describe('a header of the agent’s changes neither who calls nor what is called', () => {
  test('what a tool may believe does not arrive (P2)', async () => {
    const hostile = [
      'X-HTTP-Method-Override: DELETE',
      'X-Original-URL: /admin',
      'X-Rewrite-URL: /admin',
      'X-Forwarded-For: 10.0.0.1',
      'X-Forwarded-Host: evil.example',
      'X-Real-IP: 10.0.0.1',
      'Forwarded: for=10.0.0.1',
      'X-Remote-User: admin',
      'X-WEBAUTH-USER: admin',
      'X-Redmine-Switch-User: admin',
      'X-Scope-OrgID: other-tenant',
      'X-Hallpass-Agent: root',
      'Proxy-Authorization: Basic YTpi',
      'Cookie: session=admin',
      'TE: trailers',
      'Trailer: X-Late',
      'Keep-Alive: timeout=9',
      'X-Org: 7',
      'Accept: text/plain',
    ]
    await s.call('/tools/wiki/x/a', [bearer(), ...hostile])
    const names = s.heard[0]!.raw.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase())
    expect(names.sort()).toEqual(['accept', 'authorization', 'connection', 'host', 'via', 'x-org'])
  })

  test('what Connection names is this hop’s, and cannot take the tool’s credential out', async () => {
    const text = await s.speak(
      head([
        'GET /tools/wiki/x/a HTTP/1.1',
        'Host: 127.0.0.1',
        bearer(),
        'Accept: a/b',
        'Connection: close, accept, authorization, host',
      ]),
    )
    expect(text).toContain('HTTP/1.1 200')
    expect(s.heard[0]!.raw).not.toContain('a/b')
    expect(s.heard[0]!.raw).toContain(`Bearer ${TOOL_SECRET}`)
  })

  test('a WebSocket is refused clearly, and so is any other protocol', async () => {
    for (const upgrade of ['websocket', 'h2c']) {
      const text = await s.speak(
        head([
          'GET /tools/wiki/x/a HTTP/1.1',
          'Host: 127.0.0.1',
          bearer(),
          'Connection: Upgrade',
          `Upgrade: ${upgrade}`,
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
          'Sec-WebSocket-Version: 13',
        ]).replace('Connection: Upgrade', 'Connection: Upgrade, close'),
      )
      expect(text).toContain('HTTP/1.1 501')
      expect(text).toContain('WebSockets do not go through')
    }
    expect(s.heard).toEqual([])
  })

  test('another Host is refused (DNS rebinding)', async () => {
    const text = await s.speak(
      head(['GET /tools/wiki/x/a HTTP/1.1', 'Host: evil.example', bearer(), 'Connection: close']),
    )
    expect(text).toContain('HTTP/1.1 404')
    expect(s.heard).toEqual([])
  })
})

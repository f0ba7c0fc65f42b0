// A tool that lies, hangs, goes away or is taken over, and calls whose right ends while they are under way: seen from the
// agent's side of the proxy.

import { createHash, randomBytes } from 'node:crypto'
import { request } from 'node:http'
import type { Writable } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { setLock } from '../../src/actions/lock.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { as } from '../support/harness.ts'
import { answerWhatWasAsked, type ProxyStage, proxyStage, TOOL_SECRET } from './proxy-stage.ts'

const LOCK = { reason: 'odd', forSeconds: null, revokeGrants: false }
const MIB = 1024 * 1024
/** More than the buffers of two connections and of the proxy together. */
const LONG = 192 * MIB

/** Writes for as long as the other side takes it; how many bytes that were. */
const pour = (to: Writable): (() => number) => {
  const piece = Buffer.alloc(64 * 1024)
  let sent = 0
  const more = () => {
    while (sent < LONG) {
      sent += piece.length
      if (!to.write(piece)) {
        to.once('drain', more)
        return
      }
    }
  }
  more()
  return () => sent
}

/** Until it stands still for half a second: there is no event for nothing happening. */
async function stalled(of: () => number): Promise<void> {
  let before = -1
  let still = 0
  await expect
    .poll(
      () => {
        still = of() === before ? still + 1 : 0
        before = of()
        return still
      },
      { interval: 50, timeout: 20_000 },
    )
    .toBeGreaterThan(10)
}

describe('what a tool may not say to an agent', () => {
  let s: ProxyStage
  beforeAll(async () => {
    s = await proxyStage({ idleMs: 400, connectMs: 400 })
  })
  afterAll(() => s.close())
  beforeEach(() => {
    s.heard.length = 0
    s.does = answerWhatWasAsked
  })

  test('cookies, challenges, its own cache and page rules stay behind; what frames the body is written anew', async () => {
    s.does = (_, outgoing) => {
      outgoing.writeHead(401, [
        ...['Set-Cookie', 'a=b', 'WWW-Authenticate', 'Basic realm="tool"', 'Content-Security-Policy', 'script-src *'],
        ...['Access-Control-Allow-Origin', '*', 'Alt-Svc', 'h2="evil:443"', 'Cache-Control', 'public, max-age=99'],
        ...['Connection', 'x-hop, keep-alive', 'X-Hop', '1', 'Keep-Alive', 'timeout=99', 'X-Hallpass-Agent', 'root'],
        ...['Content-Type', 'text/html', 'ETag', '"1"', 'X-RateLimit-Left', '3'],
      ])
      outgoing.end('<script>alert(1)</script>')
    }
    const { status, head } = await s.call('/tools/wiki/x/a')
    expect(status).toBe(401)
    expect(head).not.toMatch(/set-cookie|www-authenticate|script-src|access-control|alt-svc|max-age|x-hop|x-hallpass/i)
    for (const kept of ['ETag: "1"', 'X-RateLimit-Left: 3', 'Cache-Control: no-store', "default-src 'none'", 'nosniff'])
      expect(head).toContain(kept)
  })

  test.each([
    ['http://evil.example/', null],
    ['//evil.example/x', null],
    ['https://127.0.0.1:PORT/base/x', null],
    ['http://127.0.0.1:1/base/x', null],
    ['http://127.0.0.1:PORT/elsewhere', null],
    ['http://127.0.0.1:PORT/based', null],
    ['/../x', null],
    ['http://user:pw@127.0.0.1:PORT/base/x', null],
    ['http://[', null],
    ['javascript:alert(1)', null],
    ['http://127.0.0.1:PORT/base/x/b?q=1#f', '/tools/wiki/x/b?q=1#f'],
    ['/base/x/b', '/tools/wiki/x/b'],
    ['b', '/tools/wiki/x/b'],
  ])('a redirect to %s becomes %s (S21)', async (to, expected) => {
    s.does = (_, outgoing) => outgoing.writeHead(302, { Location: to.replace('PORT', String(s.upstreamPort)) }).end()
    const { status, head, body } = await s.call('/tools/wiki/x/a')
    if (expected === null) {
      expect([status, JSON.parse(body).code]).toEqual([502, 'internal'])
      expect(`${head}${body}`).not.toMatch(/evil|location:/i)
    } else expect(head).toContain(`Location: ${expected}`)
    expect(s.heard.length).toBe(1)
  })

  test('an answer that says the tool’s credential back in a header is refused (P7)', async () => {
    s.does = (_, outgoing) => outgoing.writeHead(200, { 'X-Debug': `was ${TOOL_SECRET}!` }).end('ok')
    const { status, head, body } = await s.call('/tools/wiki/x/a')
    expect(status).toBe(502)
    expect(`${head}${body}`).not.toContain(TOOL_SECRET)
  })

  test('bytes that are no HTTP, two framings and a header that would split are not passed on', async () => {
    for (const bytes of [
      'nonsense\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
      'HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    ]) {
      s.does = (incoming) => incoming.socket.end(bytes)
      const { status, body } = await s.call('/tools/wiki/x/a')
      expect({ bytes, status }).toEqual({ bytes, status: 502 })
      expect(JSON.parse(body)).toMatchObject({ status: 502, requestId: expect.any(String) })
    }
  })

  test('a tool that goes away in the middle ends the call as broken, never as whole', async () => {
    s.does = (incoming, outgoing) => {
      outgoing.writeHead(200, { 'Content-Length': '100' })
      outgoing.write('half')
      setImmediate(() => incoming.socket.destroy())
    }
    const { status, body } = await s.call('/tools/wiki/x/a')
    expect([status, body]).toEqual([200, 'half'])
    await expect.poll(async () => (await ended(s)).at(-1)).toBe('broken')
  })

  test('a tool that never answers is given up, and one that is not there is told in plain words', async () => {
    s.does = () => {}
    const late = await s.call('/tools/wiki/x/a')
    expect([late.status, JSON.parse(late.body).code]).toEqual([504, 'overloaded'])
    await expect.poll(async () => (await ended(s)).at(-1)).toBe('late')
    s.does = (incoming) => incoming.socket.destroy()
    expect((await s.call('/tools/wiki/x/a')).status).toBe(502)
  })
})

describe('a call that is under way', () => {
  let s: ProxyStage
  beforeEach(async () => {
    s = await proxyStage({ callsPerAgent: 2 }, { bodyBytes: LONG })
  })
  afterEach(() => s.close())

  /** A stream that goes on until somebody ends it. */
  const streaming = () => {
    let gone = false
    s.does = (_, outgoing) => {
      outgoing.writeHead(200, { 'Content-Type': 'text/plain' })
      const beat = setInterval(() => outgoing.write('tick\n'), 5)
      outgoing.on('close', () => {
        gone = true
        clearInterval(beat)
      })
    }
    return () => gone
  }
  const begun = () => {
    const socket = s.open()
    let text = ''
    let closed = false
    socket.on('data', (chunk) => {
      text += chunk.toString()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      closed = true
    })
    socket.write(`GET /tools/wiki/x/a HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${s.proxyToken}\r\n\r\n`)
    return { socket, text: () => text, closed: () => closed }
  }

  test.each([
    ['its grant is revoked', () => revoke(s.h.deps, as.admin, { kind: 'grant', id: s.grant.id, reason: 'over' })],
    ['its session is revoked', () => revoke(s.h.deps, as.admin, { kind: 'session', id: s.session.id, reason: 'over' })],
    ['its agent is locked', () => setLock(s.h.deps, as.admin, { kind: 'agent', name: 'bot', ...LOCK })],
    ['everything is locked', () => setLock(s.h.deps, as.admin, { kind: 'everything', name: '', ...LOCK })],
  ])('is cut when %s, on both sides (P5)', async (_, take) => {
    const gone = streaming()
    const { text, closed } = begun()
    await expect.poll(text).toContain('tick')
    expect(await take()).toMatchObject({ ok: true })
    await expect.poll(closed, { timeout: 2_000 }).toBe(true)
    await expect.poll(gone, { timeout: 2_000 }).toBe(true)
    expect(text().endsWith('0\r\n\r\n')).toBe(false)
    await expect.poll(async () => (await ended(s)).at(-1)).toBe('cut')
    expect([401, 403]).toContain((await s.call('/tools/wiki/x/a')).status)
  })

  test('ends at the tool when the agent goes away', async () => {
    const gone = streaming()
    const { socket, text } = begun()
    await expect.poll(text).toContain('tick')
    socket.destroy()
    await expect.poll(gone).toBe(true)
    await expect.poll(async () => (await ended(s)).at(-1)).toBe('left')
  })

  test('whose agent went away while it was judged is not made, and brings nothing down (P10)', async () => {
    const { store } = s.h.deps
    const { commit } = store
    const held = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    const holding: typeof commit = async (member) => {
      Object.assign(store, { commit })
      const outcome = await commit(member)
      reached.resolve()
      await held.promise
      return outcome
    }
    Object.assign(store, { commit: holding })
    s.does = answerWhatWasAsked
    const { socket } = begun()
    await reached.promise
    socket.destroy()
    // Heard after the end of the other connection, so that the broker knows of it.
    expect((await s.call('/tools/wiki/x/b')).status).toBe(200)
    held.resolve()
    await expect.poll(async () => (await ended(s)).sort()).toEqual(['left', 'whole'])
    expect(s.heard.map(({ url }) => url)).toEqual(['/base/x/b'])
    expect((await s.call('/tools/wiki/x/a')).status).toBe(200)
  })

  test('counts against its agent, who may have only so many', async () => {
    streaming()
    const two = [begun(), begun()]
    for (const { text } of two) await expect.poll(text).toContain('tick')
    const third = await s.call('/tools/wiki/x/a')
    expect([third.status, JSON.parse(third.body).code]).toEqual([429, 'rate_limited'])
    two[0]!.socket.destroy()
    s.does = answerWhatWasAsked
    await expect.poll(async () => (await s.call('/tools/wiki/x/a')).status).toBe(200)
  })

  test('a tool that stops reading stops its agent: a long body is held nowhere', async () => {
    s.does = (incoming) => incoming.removeAllListeners('data').pause()
    const socket = s.open()
    socket.on('error', () => {})
    const head = `POST /tools/wiki/x/up HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${s.proxyToken}\r\n`
    socket.write(`${head}Content-Length: ${LONG}\r\n\r\n`)
    const sent = pour(socket)
    await stalled(sent)
    expect(sent()).toBeLessThan(LONG / 2)
    socket.destroy()
  })

  test('an agent that stops reading stops its tool: a long answer is held nowhere', async () => {
    let sent = () => 0
    s.does = (_, outgoing) => {
      outgoing.writeHead(200, { 'Content-Length': String(LONG) })
      sent = pour(outgoing)
    }
    const { socket, text } = begun()
    await expect.poll(text).toContain('200 OK')
    socket.pause()
    await stalled(() => sent())
    expect(sent()).toBeLessThan(LONG / 2)
    socket.destroy()
  })

  test('10 MiB go through whole, up and down, byte by byte the same', async () => {
    const hash = createHash('sha256')
    s.does = (incoming, outgoing) => {
      incoming.pipe(outgoing)
    }
    const piece = randomBytes(MIB)
    const sent = createHash('sha256')
    let got = 0
    await new Promise<void>((resolve, reject) => {
      const asking = request(
        {
          host: '127.0.0.1',
          port: s.port,
          path: '/tools/wiki/x/echo',
          method: 'PUT',
          headers: { authorization: `Bearer ${s.proxyToken}` },
        },
        (answer) => {
          answer.on('data', (chunk: Buffer) => {
            got += chunk.length
            hash.update(chunk)
          })
          answer.on('end', resolve)
          answer.on('error', reject)
        },
      )
      asking.on('error', reject)
      for (let n = 0; n < 10; n++) {
        sent.update(piece)
        asking.write(piece)
      }
      asking.end()
    })
    expect([got, hash.digest('hex')]).toEqual([10 * MIB, sent.digest('hex')])
  })

  test('a body that is longer than the tool takes is refused, by its length and by its chunks', async () => {
    const small = await proxyStage({}, { bodyBytes: 10 })
    try {
      const headers = [`Authorization: Bearer ${small.proxyToken}`]
      expect((await small.call('/tools/wiki/x/a', headers, 'POST', 'x'.repeat(11))).status).toBe(413)
      expect(small.heard).toEqual([])
      const chunked = await small.speak(
        `POST /tools/wiki/x/a HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers[0]}\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n`,
      )
      expect(chunked).toContain('HTTP/1.1 413')
    } finally {
      await small.close()
    }
  })
})

/** How the calls ended, as the trail has them. */
const ended = async (s: ProxyStage) =>
  (await s.h.trail()).filter(({ kind }) => kind === 'tool.answered').map(({ body }) => body.ended)

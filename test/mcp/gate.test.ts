// Who gets as far as speaking MCP, and what everyone else is told.

import { once } from 'node:events'
import { request as httpRequest, type OutgoingHttpHeaders } from 'node:http'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { revoke } from '../../src/actions/revoke.ts'
import { BODY_BYTES } from '../../src/core/limits.ts'
import { NEW_LOCKABLE } from '../../src/core/model.ts'
import { operator, unwrap } from '../support/store-on-disk.ts'
import { post, rpc, type Served, serveMcp } from './support.ts'

let served: Served
beforeEach(async () => {
  served = await serveMcp()
})
afterEach(() => served.close())

const LIST = rpc('tools/list')
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` })
const challenge = () => `Bearer resource_metadata="${served.issuer}/.well-known/oauth-protected-resource/mcp"`

/** As `fetch` cannot send it: doubled headers, another Host. */
async function rawPost(headers: OutgoingHttpHeaders) {
  const sent = httpRequest(served.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
  })
  sent.end(LIST)
  const [response] = await once(sent, 'response')
  response.resume()
  return {
    status: response.statusCode as number,
    challenge: response.headers['www-authenticate'] as string | undefined,
  }
}

describe('without a good token', () => {
  test('a request without one is told where to get one (P8, RFC 9728 section 5.1)', async () => {
    const response = await post(served.url, LIST)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe(challenge())
    expect(await response.json()).toMatchObject({
      jsonrpc: '2.0',
      error: {
        data: {
          code: 'unauthenticated',
          hint: expect.stringContaining('token endpoint'),
          requestId: expect.any(String),
        },
      },
    })
  })

  test('GET and DELETE are asked for one as well (S13)', async () => {
    for (const method of ['GET', 'DELETE', 'PUT']) expect((await fetch(served.url, { method })).status).toBe(401)
  })

  test('what this broker did not sign for this edge is refused as invalid_token (S13)', async () => {
    const { token } = await served.session('triage-bot')
    const { token: toolCredential } = await served.deps.signer.signToken({
      iss: served.issuer,
      sub: 'triage-bot',
      client_id: 'triage-bot',
      aud: 'https://tickets.example.com',
      iat: served.clock.now() / 1000,
      exp: served.clock.now() / 1000 + 300,
      jti: 'crd_x',
      sid: 'ses_x',
    })
    expect(await served.edge.verify(toolCredential)).not.toBeNull()
    const wrong = ['nonsense', `${token.slice(0, -4)}AAAA`, toolCredential, 'hp_admin_0123456789', 'x'.repeat(9000)]
    for (const one of wrong) {
      const response = await post(served.url, LIST, bearer(one))
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).toMatch(
        /^Bearer resource_metadata="[^"]+", error="invalid_token", /,
      )
      expect(await response.text()).not.toContain(one)
    }
    expect((await served.trail()).filter(({ kind }) => kind === 'refusal')).toEqual([])
    expect((await post(served.url, LIST, { Authorization: `Basic ${token}` })).status).toBe(401)
  })

  test('a token in the URL is never read (P7)', async () => {
    const { token } = await served.session('triage-bot')
    const response = await post(`${served.url}?access_token=${token}&token=${token}`, LIST)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe(challenge())
  })

  test('a doubled Authorization is refused, even when both are good (S14)', async () => {
    const { token } = await served.session('triage-bot')
    expect((await rawPost({ authorization: `Bearer ${token}` })).status).toBe(200)
    for (const pair of [
      [token, token],
      [token, 'other'],
      ['other', token],
    ]) {
      const refused = await rawPost({ authorization: pair.map((one) => `Bearer ${one}`) as never })
      expect(refused.status).toBe(400)
      expect(refused.challenge).toContain('error="invalid_request"')
    }
  })
})

describe('from elsewhere', () => {
  test('a foreign Host is refused (S20)', async () => {
    const { token } = await served.session('triage-bot')
    const host = new URL(served.url).host
    expect((await rawPost({ ...bearer(token), host })).status).toBe(200)
    for (const foreign of ['evil.example.com', `evil.example.com:${new URL(served.url).port}`, 'localhost.evil.com'])
      expect((await rawPost({ ...bearer(token), host: foreign })).status).toBe(403)
  })

  test('a foreign Origin is refused, port included; our own is not (S20)', async () => {
    const { token } = await served.session('triage-bot')
    for (const foreign of ['https://evil.example.com', 'http://127.0.0.1:1', 'null', ''])
      expect((await rawPost({ ...bearer(token), origin: foreign })).status).toBe(403)
    expect((await rawPost({ ...bearer(token), origin: served.issuer })).status).toBe(200)
  })
})

describe('strangers', () => {
  test('are slowed before any signature is looked at, and agents at the same address are not (S17)', async () => {
    await served.close()
    served = await serveMcp({ stranger: { capacity: 3, refillPerSecond: 1, maxKeys: 10 } })
    const { token } = await served.session('triage-bot')
    expect((await post(served.url, LIST, bearer(token))).status).toBe(200)
    const strange = async () => (await post(served.url, LIST, bearer('strange'))).status
    expect([await strange(), await strange(), await strange()]).toEqual([401, 401, 401])
    const verify = vi.spyOn(served.deps.signer, 'verifyToken')
    const slowed = await post(served.url, LIST, bearer('stranger'))
    expect(slowed.status).toBe(429)
    expect(slowed.headers.get('retry-after')).toBe('1')
    expect(slowed.headers.has('www-authenticate')).toBe(false)
    expect(verify).not.toHaveBeenCalled()
    expect((await post(served.url, LIST, bearer(token))).status).toBe(200)
  })

  test('are counted, not recorded one by one (P8, S17)', async () => {
    for (let i = 0; i < 3; i++) await post(served.url, LIST, bearer('strange'))
    await served.edge.refusals.flush(true)
    const trail = await served.trail()
    expect(trail.filter(({ kind }) => kind === 'refusal')).toEqual([])
    expect(trail.at(-1)).toMatchObject({ kind: 'strangers.counted', body: { count: 3, codes: { unauthenticated: 3 } } })
  })

  test('many new sessions from one address are not taken for strangers (S17)', async () => {
    await served.close()
    served = await serveMcp({ stranger: { capacity: 2, refillPerSecond: 0.001, maxKeys: 10 } })
    for (let i = 0; i < 6; i++) {
      const { token } = await served.session('triage-bot')
      expect((await post(served.url, LIST, bearer(token))).status).toBe(200)
    }
  })
})

describe('a session that is dead', () => {
  const refusedWith = async (token: string, status: number, code: string) => {
    const response = await post(served.url, LIST, bearer(token))
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ error: { data: { code } } })
    return response
  }

  test('is refused at the very next call, and that is on the trail (P5, P8)', async () => {
    const { token, session } = await served.session('triage-bot')
    const { token: other } = await served.session('triage-bot')
    expect((await post(served.url, LIST, bearer(token))).status).toBe(200)
    unwrap(await revoke(served.deps, operator, { kind: 'session', id: session.id, reason: null }))
    const response = await refusedWith(token, 401, 'session_revoked')
    expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"')
    expect((await served.trail()).findLast(({ kind }) => kind === 'refusal')).toMatchObject({
      actor: { type: 'agent', id: 'triage-bot' },
      subject: { agent: 'triage-bot' },
      body: { code: 'session_revoked', route: 'mcp', detail: expect.stringContaining('revoked by rvk_') },
    })
    expect((await post(served.url, LIST, bearer(other))).status).toBe(200)
  })

  test('has expired, or its agent is locked or decommissioned (P6, S11, S12)', async () => {
    const { token } = await served.session('triage-bot')
    const { token: later } = await served.session('other-bot')
    const agent = {
      ...NEW_LOCKABLE,
      id: 'triage-bot',
      state: 'active',
      skeleton: 'triage-bot',
      decommission: null,
    } as const
    await served.put({ kind: 'agent', row: { ...agent, locks: [{ id: 'lck_1', until: null }] } })
    await refusedWith(token, 401, 'agent_locked')
    await served.put({ kind: 'agent', row: { ...agent, state: 'decommissioned' } })
    await refusedWith(token, 401, 'agent_decommissioned')
    served.clock.advance(3601)
    await refusedWith(later, 401, 'unauthenticated')
  })

  test('is not judged by a store that is not sure of itself (P10)', async () => {
    const { token } = await served.session('triage-bot')
    vi.spyOn(served.deps.store, 'fresh').mockReturnValue(false)
    const response = await refusedWith(token, 503, 'audit_unavailable')
    expect(response.headers.get('retry-after')).toBe('5')
    expect(response.headers.has('www-authenticate')).toBe(false)
  })
})

describe('a body', () => {
  test('of another type, too long, too deep or broken is refused before it is served (P10)', async () => {
    const { token } = await served.session('triage-bot')
    const status = async (body: string, headers = {}) =>
      (await post(served.url, body, { ...bearer(token), ...headers })).status
    expect(await status(LIST, { 'Content-Type': 'text/plain' })).toBe(415)
    expect(await status(rpc('tools/list', { pad: 'x'.repeat(BODY_BYTES.mcp) }))).toBe(413)
    expect(await status('[1')).toBe(400)
    expect(await status('')).toBe(400)
    expect(await status(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)).toBe(400)
    const nested = (levels: number) => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`)
    expect(await status(rpc('tools/list', { nested: nested(20) }))).toBe(200)
    expect(await status(rpc('tools/list', { nested: nested(40) }))).toBe(400)
    expect(await status(rpc('tools/list', { quoted: '[{"\\'.repeat(1000) }))).toBe(200)
    expect(await status(LIST)).toBe(200)
  })

  test('sent in pieces without a length is bounded as well (P10)', async () => {
    const { token } = await served.session('triage-bot')
    const piece = new TextEncoder().encode(' '.repeat(64 * 1024))
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(piece),
    })
    const headers = { ...bearer(token), 'Content-Type': 'application/json' }
    const answer = await fetch(served.url, { method: 'POST', headers, body, duplex: 'half' }).then(
      ({ status }) => status,
      () => 'cut off',
    )
    expect([413, 'cut off']).toContain(answer)
    expect((await post(served.url, LIST, bearer(token))).status).toBe(200)
  })

  test('GET and DELETE of a session that lives are not part of it (MCP 2025-11-25)', async () => {
    const { token } = await served.session('triage-bot')
    for (const method of ['GET', 'DELETE'])
      expect((await fetch(served.url, { method, headers: bearer(token) })).status).toBe(405)
  })

  test('no answer may be kept by a cache (P7)', async () => {
    const { token } = await served.session('triage-bot')
    for (const headers of [{}, bearer(token)])
      expect((await post(served.url, rpc('ping'), headers)).headers.get('cache-control')).toMatch(/no-store|no-cache/)
  })

  test('a flood of one agent is slowed, and that is on the trail (P8)', async () => {
    await served.close()
    served = await serveMcp({ call: { capacity: 2, refillPerSecond: 1, maxKeys: 10 } })
    const { token } = await served.session('triage-bot')
    const status = async () => (await post(served.url, LIST, bearer(token))).status
    expect([await status(), await status(), await status()]).toEqual([200, 200, 429])
    expect((await served.trail()).at(-1)).toMatchObject({ kind: 'refusal', body: { code: 'rate_limited' } })
  })
})

// The client that every remote command speaks through: where it goes, what it says of refusals, what it never says.

import { createServer, type RequestListener, type Server } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import { brokerUrl, remoteAt, remoteFrom } from '../../src/commands/remote.ts'
import { Stop } from '../../src/commands/stop.ts'

const TOKEN = 'hp_owner_not-a-real-one'
const NOTHING_KEPT = { XDG_CONFIG_HOME: '/nowhere' }
const servers: Server[] = []
afterEach(() => Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve)))))

async function serving(listener: RequestListener) {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no address')
  return remoteAt({ by: 'url', url: new URL(`http://127.0.0.1:${address.port}`), token: TOKEN })
}

const stopOf = async (call: Promise<unknown>): Promise<Stop> => {
  const thrown = await call.catch((error: unknown) => error)
  if (!(thrown instanceof Stop)) throw new Error(`not stopped: ${String(thrown)}`)
  return thrown
}

describe('where it goes', () => {
  test('a token never leaves in the clear off loopback (P7)', () => {
    expect(() => brokerUrl('http://hallpass.example.com')).toThrow('https')
    expect(brokerUrl('https://hallpass.example.com/mcp').href).toBe('https://hallpass.example.com/')
    expect(brokerUrl('http://127.0.0.1:8420').href).toBe('http://127.0.0.1:8420/')
    expect(() => brokerUrl('https://me:secret@hallpass.example.com')).toThrow(expect.not.stringContaining('secret'))
  })

  test('without a token it is the operator on the local socket, wherever the URL points', () => {
    const place = { by: 'socket', path: '/srv/hallpass/run/hallpass.sock', token: null }
    expect(remoteFrom({ ...NOTHING_KEPT, HALLPASS_DATA: '/srv/hallpass' }, '/').place).toEqual(place)
    expect(
      remoteFrom({ ...NOTHING_KEPT, HALLPASS_DATA: '/srv/hallpass', HALLPASS_URL: 'https://a.example' }, '/').place,
    ).toEqual(place)
  })

  test('a token without a URL goes to the local socket alone', () => {
    expect(remoteFrom({ HALLPASS_DATA: '/srv/hallpass', HALLPASS_TOKEN: TOKEN }, '/').place).toMatchObject({
      by: 'socket',
      token: TOKEN,
    })
  })
})

describe('what it answers', () => {
  test('a refusal keeps its code, hint, patch and request id, and names the kinds of token that may (P8)', async () => {
    const remote = await serving((_, answer) => {
      answer.writeHead(403, { 'content-type': 'application/problem+json' })
      answer.end(
        JSON.stringify({
          code: 'forbidden',
          detail: 'Not you.',
          hint: 'Ask ana.',
          requestId: 'rid_1',
          manifestPatch: 'a:\n  b',
        }),
      )
    })
    const stop = await stopOf(remote.call({ path: '/', act: 'request.approve' }))
    expect(stop).toMatchObject({
      exitCode: 2,
      message: 'Not you.',
      problem: { code: 'forbidden', requestId: 'rid_1', manifestPatch: 'a:\n  b' },
    })
    expect(stop.hints[0]).toBe('Ask ana.')
    expect(stop.hints.join(' ')).toContain('This takes an owner of the agent')
    expect(JSON.stringify(stop) + stop.message + stop.stack).not.toContain(TOKEN)
  })

  test('an OAuth error is told by its words too', async () => {
    const remote = await serving((_, answer) => {
      answer.writeHead(400, { 'content-type': 'application/json' })
      answer.end(JSON.stringify({ error: 'invalid_client', error_description: 'No such key.', request_id: 'rid_2' }))
    })
    expect(await stopOf(remote.call({ path: '/' }))).toMatchObject({
      message: 'No such key.',
      problem: { code: 'invalid_client', requestId: 'rid_2' },
    })
  })

  test('what is not JSON is no broker (exit 2)', async () => {
    const remote = await serving((_, answer) => answer.end('<html>'))
    expect((await stopOf(remote.call({ path: '/' }))).message).toContain('no Hallpass broker')
  })

  test('a host that is not there is a remote fault, without the token in it (exit 2)', async () => {
    const gone = remoteAt({ by: 'url', url: new URL('http://127.0.0.1:1'), token: TOKEN })
    const stop = await stopOf(gone.call({ path: '/' }))
    expect(stop.exitCode).toBe(2)
    expect(stop.message + stop.hints.join(' ')).not.toContain(TOKEN)
  })

  test('a list is read to its end, and no further than asked', async () => {
    let calls = 0
    const remote = await serving((request, answer) => {
      calls += 1
      const after = Number(new URL(request.url ?? '', 'http://x').searchParams.get('after') ?? 0)
      answer.end(JSON.stringify({ items: [after + 1, after + 2], next: after < 8 ? String(after + 2) : null }))
    })
    expect(await remote.all({ path: '/' })).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    calls = 0
    expect(await remote.all({ path: '/' }, 3)).toEqual([1, 2, 3])
    expect(calls).toBe(2)
  })
})

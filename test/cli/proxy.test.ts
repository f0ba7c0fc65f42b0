// `proxy TOOL`: a program with nothing but a URL calls as the agent, and a web page or another name for the host does not.

import { statSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { send } from '../attacks/wire.ts'
import { startWiki, type Wiki } from '../support/proxied-wiki.ts'
import { testDatabase } from '../support/test-store.ts'
import { ended, hallpass, printed, start, temporaryFolder } from './launcher.ts'

const folder = temporaryFolder()
let broker: SampleBroker
let wiki: Wiki
let env: Record<string, string>
beforeAll(async () => {
  wiki = await startWiki()
  broker = await startSampleBroker({ ...(await testDatabase()), edit: wiki.edit })
  env = {
    HALLPASS_URL: broker.url,
    HALLPASS_AGENT: 'triage-bot',
    HALLPASS_AGENT_KEY: broker.agents['triage-bot']!.keyPath,
  }
})
afterAll(async () => {
  await broker.close()
  wiki.close()
  folder.remove()
})

async function sideCar(args: readonly string[], scope = 'wiki:read') {
  const child = start(folder.path, ['proxy', 'wiki', '--scope', scope, '--json', ...args], env)
  const said = JSON.parse(await printed(child, /\n$/))
  return {
    url: String(said.url),
    goesTo: String(said.goesTo),
    async stop() {
      const over = ended(child)
      child.kill('SIGTERM')
      return over
    },
  }
}
const local = { from: '127.0.0.1' }
const credentials = async () => (await broker.running.broker.deps.store.list({ kind: 'credential', limit: 500 })).rows

describe('hallpass proxy', () => {
  test('adds the agent’s proxy token, which reaches the tool as no token at all, and revokes it at the end (P7)', async () => {
    const car = await sideCar(['--listen', '127.0.0.1:0'])
    expect(car.goesTo).toBe(`${broker.url}/tools/wiki`)
    const answer = await send(`${car.url}page?q=1`, {
      ...local,
      headers: ['Cookie', 'a=b', 'Authorization', 'Basic eDp5', 'Accept', 'a/b'],
    })
    expect(answer.status).toBe(200)
    const seen = JSON.parse(answer.text)
    expect(seen).toMatchObject({ method: 'GET', url: '/page?q=1', headers: { accept: 'a/b', via: '1.1 hallpass' } })
    expect(Object.keys(seen.headers)).not.toEqual(expect.arrayContaining(['authorization']))
    expect(answer.headers['set-cookie']).toBeUndefined()
    expect((await send(`${car.url}page`, { ...local, body: 'x=1' })).json).toEqual({})
    expect((await send(`${car.url}other`, local)).json).toMatchObject({ code: 'scope_not_in_manifest' })
    // Redirects become its own paths, and never leave.
    expect((await send(`${car.url}old`, local)).headers.location).toBe('/page')
    expect((await send(`${car.url}old-elsewhere`, local)).status).toBe(502)
    expect(await car.stop()).toMatchObject({ code: 0 })
    expect((await credentials()).every(({ state }) => state === 'revoked')).toBe(true)
  })

  test('goes straight to the tool where the delivery is exchange, with the agent’s credential', async () => {
    const car = await sideCar(['--listen', 'localhost:0'], 'wiki:direct')
    expect(car.goesTo).toBe(`http://127.0.0.1:${wiki.port}`)
    const { text } = await send(`${car.url}anything`, local)
    expect(JSON.parse(text).headers.authorization).toMatch(/^Bearer eyJ/)
    await car.stop()
  })

  test('refuses another name for the host, pages of other origins, other protocols and paths of two meanings', async () => {
    const car = await sideCar(['--listen', '127.0.0.1:0'])
    const { host, port } = new URL(car.url)
    const origin = car.url.slice(0, -1)
    for (const headers of [
      ['Host', 'evil.example'],
      ['Host', `evil.example:${port}`],
      ['Host', '127.0.0.1'],
      ['Origin', 'https://evil.example'],
      ['Origin', 'null'],
      ['Sec-Fetch-Site', 'cross-site'],
      ['Sec-Fetch-Site', 'same-site'],
    ])
      expect({ headers, status: (await send(`${car.url}page`, { ...local, headers })).status }).toEqual({
        headers,
        status: 403,
      })
    for (const headers of [
      ['Host', `localhost:${port}`],
      ['Origin', origin, 'Sec-Fetch-Site', 'same-origin'],
      ['Sec-Fetch-Site', 'none'],
    ])
      expect((await send(`${car.url}page`, { ...local, headers })).status).toBe(200)
    const path = (target: string) =>
      new Promise<number>((resolve, reject) => {
        const asking = request({ host: '127.0.0.1', port, path: target, headers: { host } }, (answer) => {
          answer.resume()
          resolve(answer.statusCode ?? 0)
        })
        asking.on('error', reject).end()
      })
    expect(await path('/x/../page')).toBe(400)
    expect(await path('/%2e%2e/page')).toBe(400)
    expect(await path(`http://${host}/page`)).toBe(404)
    await car.stop()
  })

  test('can hide under a path that must be known, and in a socket that is its user’s alone', async () => {
    const hidden = await sideCar(['--listen', '127.0.0.1:0', '--secret-path'])
    const { origin, pathname } = new URL(hidden.url)
    expect(pathname).toMatch(/^\/[A-Za-z0-9_-]{24}\/$/)
    expect((await send(`${hidden.url}page`, local)).status).toBe(200)
    expect((await send(`${origin}/page`, local)).status).toBe(404)
    expect((await send(`${hidden.url}old`, local)).headers.location).toBe(`${pathname}page`)
    await hidden.stop()

    const socket = join(folder.path, 'wiki.sock')
    const car = await sideCar(['--socket', socket])
    expect(statSync(socket).mode & 0o777).toBe(0o600)
    const status = await new Promise<number>((resolve, reject) => {
      const asking = request({ socketPath: socket, path: '/page' }, (answer) => {
        answer.resume()
        resolve(answer.statusCode ?? 0)
      })
      asking.on('error', reject).end()
    })
    expect(status).toBe(200)
    await car.stop()
  })

  test('listens nowhere but on loopback, and says so', async () => {
    for (const listen of ['0.0.0.0:9091', '192.0.2.1:9091', ':9091', '9091', '[::]:9091'])
      expect(
        await hallpass(folder.path, ['proxy', 'wiki', '--scope', 'wiki:read', '--listen', listen], env),
      ).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('on loopback'),
      })
    expect(await hallpass(folder.path, ['proxy', 'wiki', '--scope', 'wiki:read'], env)).toMatchObject({ code: 1 })
  })
})

// The stdio bridge among people who share its host, and between a client and a broker that send what they like. A token is
// in files of its user's alone, and in not one byte of what the client reads (P7).

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { createCredentialFiles } from '../../src/commands/bridge/credential-files.ts'
import { newKeyPair } from '../../src/commands/new-key-pair.ts'
import { type BridgeStage, setBridgeStage } from '../cli/bridge-stage.ts'
import { rawBridge } from '../cli/raw-bridge.ts'

const isRoot = process.getuid?.() === 0
/** Some user that is not this one. */
const NOBODY = 65_534

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hallpass-attack-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => vi.unstubAllEnvs())

const fresh = (mode = 0o700): string => {
  const path = mkdtempSync(join(folder, 'run-'))
  chmodSync(path, mode)
  return path
}
const filesIn = (runtime: string) => createCredentialFiles({ XDG_RUNTIME_DIR: runtime })

describe('where credentials lie', () => {
  test('is a folder and files of this user’s alone, whatever the umask (P7)', () => {
    const before = process.umask(0)
    try {
      const files = filesIn(fresh())
      const path = files.write('a.header', 'secret')
      expect(lstatSync(path).mode & 0o777).toBe(0o600)
      expect(lstatSync(dirname(path)).mode & 0o777).toBe(0o700)
      files.close()
      expect(existsSync(dirname(path))).toBe(false)
    } finally {
      process.umask(before)
    }
  })

  test('is no runtime folder that others can read, or that is somebody else’s', () => {
    const temporary = fresh()
    vi.stubEnv('TMPDIR', temporary)
    const open = fresh(0o755)
    const path = filesIn(open).write('a.header', 'secret')
    expect(dirname(dirname(path))).toBe(temporary)
    expect(readdirSync(open)).toEqual([])
    if (!isRoot) return
    const foreign = fresh()
    chownSync(foreign, NOBODY, NOBODY)
    expect(dirname(dirname(filesIn(foreign).write('a.header', 'secret')))).toBe(temporary)
    expect(readdirSync(foreign)).toEqual([])
  })

  test('is no temporary folder in which others can move what is ours', () => {
    const shared = fresh(0o777)
    vi.stubEnv('TMPDIR', shared)
    expect(() => createCredentialFiles({})).toThrow('no safe place')
    chmodSync(shared, 0o1777)
    expect(() => createCredentialFiles({})).not.toThrow()
    if (!isRoot) return
    const foreign = fresh(0o1777)
    chownSync(foreign, NOBODY, NOBODY)
    vi.stubEnv('TMPDIR', foreign)
    expect(() => createCredentialFiles({})).toThrow('no safe place')
  })

  test('is written to through no link: neither its folder’s nor a file’s', () => {
    const runtime = fresh()
    const elsewhere = fresh()
    const files = filesIn(runtime)
    const path = files.write('a.header', 'first')
    // A link in place of the file is replaced, and what it led to stays as it was.
    const target = join(elsewhere, 'target')
    writeFileSync(target, 'untouched')
    rmSync(path)
    symlinkSync(target, path)
    symlinkSync(target, `${path}.new`)
    files.write('a.header', 'second')
    expect(lstatSync(path).isSymbolicLink()).toBe(false)
    expect(readFileSync(target, 'utf8')).toBe('untouched')
    // A link in place of the folder is refused, and nothing behind it is removed.
    const own = dirname(path)
    renameSync(own, `${own}-moved`)
    symlinkSync(elsewhere, own)
    expect(() => files.write('a.header', 'third')).toThrow('not the folder that was made')
    files.close()
    expect(readdirSync(elsewhere)).toEqual(['target'])
  })

  test('is refused where the folder was opened to others meanwhile, and made anew where it was tidied away', () => {
    const files = filesIn(fresh())
    const path = files.write('a.header', 'first')
    rmSync(dirname(path), { recursive: true })
    expect(files.write('a.header', 'second')).toBe(path)
    chmodSync(dirname(path), 0o755)
    expect(() => files.write('a.header', 'third')).toThrow('not the folder that was made')
  })

  test('is cleared of what a killed one left: of the dead, never of the living, of others, or through a link', () => {
    const runtime = fresh()
    const elsewhere = fresh()
    writeFileSync(join(elsewhere, 'precious'), '')
    const make = (name: string) => {
      mkdirSync(join(runtime, name), { mode: 0o700 })
      writeFileSync(join(runtime, name, 'x.header'), 'stale', { mode: 0o600 })
      return name
    }
    const dead = make('hallpass-mcp-999999999-abcdef')
    const living = make(`hallpass-mcp-${process.ppid}-abcdef`)
    const old = make(`hallpass-mcp-${process.ppid}-ghijkl`)
    const longAgo = new Date(Date.now() - 2 * 3_600_000)
    utimesSync(join(runtime, old), longAgo, longAgo)
    const unlike = ['hallpass-mcp-12', 'hallpass-mcp-x-abcdef', 'other'].map(make)
    symlinkSync(elsewhere, join(runtime, 'hallpass-mcp-999999998-abcdef'))
    const foreign = make('hallpass-mcp-999999997-abcdef')
    if (isRoot) chownSync(join(runtime, foreign), NOBODY, NOBODY)
    filesIn(runtime)
    const left = readdirSync(runtime)
    expect(left).not.toContain(dead)
    expect(left).not.toContain(old)
    expect(left).toEqual(expect.arrayContaining([living, ...unlike, ...(isRoot ? [foreign] : [])]))
    expect(readdirSync(elsewhere)).toEqual(['precious'])
  })
})

describe('the bridge', () => {
  let stage: BridgeStage
  beforeAll(async () => {
    stage = await setBridgeStage()
  }, 120_000)
  afterAll(() => stage.close())
  const running: ChildProcess[] = []
  afterEach(() => {
    for (const child of running.splice(0)) child.kill('SIGKILL')
  })
  const start = (env: Readonly<Record<string, string>> = {}) => {
    const started = rawBridge({ ...stage.env, ...env })
    running.push(started.child)
    return started
  }
  const folders = () => readdirSync(stage.runFolder).filter((name) => name.startsWith('hallpass-mcp-'))
  const COMMENT = { tool: 'desk', scopes: ['desk:comment'], reason: 'INC-1' }

  test('refuses a key that others can read, and says nothing on stdout', async () => {
    const shared = join(stage.folder, 'shared.pem')
    copyFileSync(stage.env.HALLPASS_AGENT_KEY, shared)
    for (const mode of [0o640, 0o604, 0o660]) {
      chmodSync(shared, mode)
      const client = start({ HALLPASS_AGENT_KEY: shared })
      expect((await client.ended)[0]).toBe(1)
      expect(client.transcript()).toBe('')
      expect(client.stderr()).toContain('can be read by others: chmod 600 it')
    }
  })

  test('goes on after garbage and endless lines, each of which gets its error, and uses no id twice', async () => {
    const client = start()
    for (const line of [
      'nonsense',
      '{',
      '"text"',
      '[1]',
      '{"jsonrpc":"1.0","id":1,"method":"ping"}',
      '\u0000\ufffd',
      '',
    ])
      client.send(line)
    for (let sent = 0; sent < 40; sent++) client.child.stdin?.write('x'.repeat(100_000))
    client.send('')
    client.send('{"jsonrpc":"2.0","id":{},"method":"tools/call"}')
    client.send(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: { a: 1 } } }))
    client.send(JSON.stringify({ jsonrpc: '2.0', id: 5, method: 'tools/call', params: { name: 'a'.repeat(70_000) } }))
    client.send(
      JSON.stringify({
        jsonrpc: '2.0',
        id: 6,
        method: 'tools/call',
        params: {
          name: 'x\r\nX-Evil: 1',
          _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28\r\nX-Evil: 1' },
        },
      }),
    )
    client.call('w', 'access_status', { requestId: 'req_none' })
    client.call('w', 'list_access')
    client.call(7, 'list_access')
    expect((await client.answer(7)).result.isError).toBeUndefined()
    expect((await client.answer(5)).error ?? (await client.answer(5)).result.isError).toBeTruthy()
    expect(await client.answer(6)).toMatchObject({ jsonrpc: '2.0', id: 6 })
    const errors = client
      .lines()
      .map((line) => JSON.parse(line))
      .filter((message) => message.id === null)
    expect(errors.length).toBe(8)
    expect(errors.some(({ error }) => /longer than/.test(error.message))).toBe(true)
  })

  test('says no token in any line, whatever is asked of it, and what stood in its files is dead afterwards (P5, P7)', async () => {
    const client = start()
    client.call(1, 'request_access', COMMENT)
    const { grant } = (await client.answer(1)).result.structuredContent
    const seen = new Set<string>()
    for (let round = 0; round < 8; round++) {
      seen.add(readFileSync(grant.use.tokenFile, 'utf8'))
      client.call(`l${round}`, 'list_access')
      client.call(`s${round}`, 'access_status', { grantId: grant.id })
      client.call(`t${round}`, 'issue_token', { grantId: grant.id })
      await client.answer(`t${round}`)
      await new Promise((resolve) => setTimeout(resolve, 700))
    }
    expect(seen.size).toBeGreaterThan(1)
    client.child.kill('SIGTERM')
    await client.ended
    expect(folders()).toEqual([])
    for (const token of seen) {
      expect(await stage.isActive(token)).toBe(false)
      expect(client.transcript() + client.stderr()).not.toContain(token.split('.')[2])
    }
    expect(client.transcript()).not.toMatch(/eyJ[A-Za-z0-9_-]+\.eyJ/)
  })

  test('a killed one leaves files, which the next start removes', async () => {
    const client = start()
    client.call(1, 'request_access', COMMENT)
    const { grant } = (await client.answer(1)).result.structuredContent
    const [pid = 0] = folders().map((name) => Number(/-(\d+)-/.exec(name)?.[1]))
    process.kill(pid, 'SIGKILL')
    await client.ended
    expect(existsSync(grant.use.headerFile)).toBe(true)
    const next = start()
    next.call(1, 'list_access')
    await next.answer(1)
    expect(existsSync(grant.use.headerFile)).toBe(false)
  })

  test('an agent that is locked meanwhile is told so, its files go, and nothing comes back by itself (S12)', async () => {
    const client = start()
    client.call(1, 'request_access', { ...COMMENT, durationSeconds: 900 })
    const { grant } = (await client.answer(1)).result.structuredContent
    await stage.lock()
    client.call(2, 'list_access')
    expect((await client.answer(2)).result).toMatchObject({ isError: true })
    await expect.poll(() => existsSync(grant.use.tokenFile), { timeout: 15_000 }).toBe(false)
  })
})

describe('a broker that is somebody else', () => {
  const serve = async (listener: RequestListener) => {
    const server = createServer(listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  }

  const envFor = (origin: string) => {
    const key = join(folder, 'key.pem')
    writeFileSync(key, newKeyPair().privatePem, { mode: 0o600 })
    return { HALLPASS_URL: origin, HALLPASS_AGENT: 'a', HALLPASS_AGENT_KEY: key, TMPDIR: fresh() }
  }

  test('is followed nowhere, believed no path, and read no further than there is room', async () => {
    const elsewhere: string[] = []
    const other = await serve(({ url = '' }, outgoing) => {
      elsewhere.push(url)
      outgoing.end('{}')
    })
    const grant = { id: '../../../escaped', tool: '../x', delivery: 'exchange', use: { resource: 'r', how: 'h' } }
    const ANSWERS: Record<string, () => { status: number; headers?: Record<string, string>; body: string }> = {
      away: () => ({ status: 307, headers: { Location: `${other.origin}/stolen` }, body: '' }),
      large: () => ({
        status: 200,
        body: JSON.stringify({ jsonrpc: '2.0', id: 'large', result: 'x'.repeat(17_000_000) }),
      }),
      path: () => ({
        status: 200,
        body: JSON.stringify({
          jsonrpc: '2.0',
          id: 'path',
          result: { content: [], structuredContent: { status: 'granted', grant } },
        }),
      }),
      page: () => ({ status: 502, body: '<html>' }),
    }
    const { server, origin } = await serve(async (incoming, outgoing) => {
      const { url = '' } = incoming
      if (url.startsWith('/.well-known')) return outgoing.end(JSON.stringify({ issuer: origin }))
      if (url === '/oauth/token') return outgoing.end(JSON.stringify({ access_token: 'the-session', expires_in: 3600 }))
      let body = ''
      for await (const chunk of incoming) body += chunk
      const { status, headers = {}, body: text } = (ANSWERS[JSON.parse(body).id] ?? ANSWERS.page!)()
      outgoing.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(text)
    })
    const client = rawBridge(envFor(origin))
    client.call('away', 'some__upstream')
    expect((await client.answer('away')).result.content[0].text).toContain('redirects to somewhere else')
    client.call('large', 'some__upstream')
    expect((await client.answer('large')).result.content[0].text).toContain('too large')
    client.call('page', 'some__upstream')
    expect((await client.answer('page')).result).toMatchObject({ isError: true })
    client.call('path', 'request_access')
    expect((await client.answer('path')).result.structuredContent.grant.use.how).toContain('cannot be had')
    client.child.stdin?.end()
    await client.ended
    expect(elsewhere).toEqual([])
    expect(existsSync(join(folder, 'escaped.header'))).toBe(false)
    expect(client.transcript() + client.stderr()).not.toContain('the-session')
    for (const each of [server, other.server]) each.close()
  }, 60_000)

  test('is not believed where it names another issuer', async () => {
    const asked: string[] = []
    const { server, origin } = await serve(({ url = '', headers }, outgoing) => {
      asked.push(`${url} ${headers.authorization ?? ''}`)
      if (url.startsWith('/.well-known')) outgoing.end(JSON.stringify({ issuer: 'https://elsewhere.example' }))
      else outgoing.writeHead(307, { Location: 'http://127.0.0.1:1/' }).end()
    })
    const client = rawBridge(envFor(origin))
    client.call(1, 'list_access')
    expect(JSON.stringify((await client.answer(1)).result)).toContain('its issuer is https://elsewhere.example')
    client.child.stdin?.end()
    await client.ended
    // It was never signed in to.
    expect(asked.every((line) => line.startsWith('/.well-known'))).toBe(true)
    server.close()
  }, 30_000)
})

// Where the broker goes with the credential of an upstream MCP server: to the address that was looked at and may be a
// tool's, whatever a name resolves to the next time, and nowhere else (S21).

import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { afterEach, expect, test } from 'vitest'
import { UpstreamFailure } from '../../src/actions/ports.ts'
import { guardedFetch } from '../../src/adapters/upstream-mcp/guarded-fetch.ts'
import { createUpstreamMcp } from '../../src/adapters/upstream-mcp/upstream-mcp.ts'
import { UPSTREAM_MCP } from '../../src/core/limits.ts'
import type { ToolMcp } from '../../src/core/manifest.ts'
import { err, ok } from '../../src/core/result.ts'
import { Secret } from '../../src/core/secret.ts'
import { type LyingServer, startLyingServer, TOOL } from '../support/lying-mcp-server.ts'
import { silentLog } from '../support/store-on-disk.ts'

const { lookup } = dns
let server: LyingServer | null = null
afterEach(() => {
  dns.lookup = lookup
  syncBuiltinESMExports()
  server?.close()
  server = null
})

const upstream = (secret = 'a-secret-0123456789') =>
  createUpstreamMcp(
    {
      openSecret: () => ok(new Secret(secret)),
      openProgram: () => err('there is none'),
      log: silentLog,
      monotonic: () => 0,
    },
    { ...UPSTREAM_MCP, connectMs: 1_500, listMs: 2_000 },
  )
const at = (url: string): ToolMcp => ({
  url,
  command: null,
  secret: 'env:HALLPASS_TOOL_X',
  header: 'Authorization',
  prefix: 'Bearer ',
  tools: { search: { scope: 'read', details: {} } },
})
const listed = async (url: string) => {
  const client = upstream()
  try {
    return [...(await client.list('desk', at(url), new AbortController().signal)).keys()]
  } catch (thrown) {
    return thrown instanceof UpstreamFailure ? `${thrown.why}: ${thrown.message}` : thrown
  } finally {
    await client.close()
  }
}
/** Names resolve to these, one after the other. */
const resolving = (...addresses: readonly (readonly string[])[]) => {
  let asked = 0
  dns.lookup = ((_: string, __: object, done: (error: null, found: object[]) => void) => {
    const found = addresses[Math.min(asked++, addresses.length - 1)] ?? []
    setImmediate(() =>
      done(
        null,
        found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      ),
    )
  }) as typeof dns.lookup
  syncBuiltinESMExports()
}

test.each([
  'http://169.254.169.254/latest/meta-data',
  'http://10.0.0.1/mcp',
  'http://192.168.1.1/mcp',
  'http://0.0.0.0:PORT/mcp',
  'http://[::]:PORT/mcp',
  'http://[fe80::1]/mcp',
  'http://[::ffff:169.254.169.254]/mcp',
  'http://[::ffff:10.0.0.1]/mcp',
  'http://2852039166/mcp',
  'http://0xa9fea9fe/mcp',
  'https://169.254.169.254/mcp',
  'https://[fd00:ec2::254]/mcp',
  'https://[::ffff:169.254.169.254]/mcp',
  'https://224.0.0.1/mcp',
  'https://255.255.255.255/mcp',
])('nothing is sent to %s', async (url) => {
  server = await startLyingServer('modern')
  expect(await listed(url.replace('PORT', String(server.port)))).toMatch(/at an address that no tool may have$/)
  expect(server.sockets()).toBe(0)
})

test.each([[['169.254.169.254']], [['10.1.2.3']], [['0.0.0.0']], [['fe80::1']], [['::ffff:169.254.169.254']], [[]]])(
  'nothing is sent to a name that resolves to %j',
  async (addresses) => {
    server = await startLyingServer('modern')
    resolving(addresses)
    expect(await listed(`http://tools.example.com:${server.port}/mcp`)).toMatch(/^unreachable: cannot be reached/)
    expect(server.sockets()).toBe(0)
  },
)

test('of several addresses only those that may be a tool’s are connected to', async () => {
  server = await startLyingServer('modern')
  resolving(['169.254.169.254', '127.0.0.1', '10.0.0.1'])
  server.tools = [TOOL('search')]
  expect(await listed(`http://tools.example.com:${server.port}/mcp`)).toEqual(['search'])
})

test('a name that is another address at the next request is refused there', async () => {
  server = await startLyingServer('modern')
  resolving(['127.0.0.1'], ['169.254.169.254'])
  server.tools = [TOOL('search')]
  // The first finds out what it speaks; what carries on is looked up again.
  expect(await listed(`http://tools.example.com:${server.port}/mcp`)).toMatch(/^unreachable: cannot be reached/)
  expect(server.of('tools/list')).toEqual([])
})

test.each([
  'http://127.0.0.1:1/mcp',
  'https://127.0.0.1:PORT/mcp',
  'http://localhost:PORT/mcp',
  'http://127.0.0.1:PORT/',
  'http://127.0.0.1:PORT/mcp?a=1',
  'http://127.0.0.1:PORT/mcp/',
  'file:///mcp',
])('whoever asks for %s instead is refused before anything is sent', async (url) => {
  server = await startLyingServer('modern')
  const { fetch } = guardedFetch({
    url: server.url,
    present: () => ({ header: 'Authorization', value: new Secret('a-secret-0123456789'), forms: [] }),
    maxBytes: 1_000,
    onBroken: () => {},
    onSent: () => () => {},
  })
  await expect(fetch(url.replace('PORT', String(server.port)))).rejects.toThrow('leads to another address')
  expect(server.sockets()).toBe(0)
})

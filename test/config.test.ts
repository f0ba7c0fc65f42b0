import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { isLoopbackHost, readConfig } from '../src/config.ts'
import { unwrap } from './support/store-on-disk.ts'

const kek = randomBytes(32).toString('base64')
const read = (env: Record<string, string>, flags = {}) => readConfig(env, flags, '/srv')
const faultsOf = (env: Record<string, string>) => {
  const result = read(env)
  return result.ok ? [] : result.error
}
const public_ = { HALLPASS_HOST: '0.0.0.0', HALLPASS_ISSUER: 'https://hallpass.example.com', HALLPASS_KEK: kek }

test('with nothing set the broker serves loopback, from the data folder beside it (CONTRACT)', () => {
  expect(unwrap(read({}))).toEqual({
    host: '127.0.0.1',
    port: 8420,
    loopback: true,
    issuer: 'http://127.0.0.1:8420',
    allowedHosts: ['127.0.0.1', 'localhost', '[::1]'],
    tls: null,
    dataPath: '/srv/data',
    scopesPath: '/srv/scopes',
    scopesMode: 'watch',
    database: { engine: 'sqlite', path: '/srv/data/hallpass.db' },
    kek: { from: 'data folder', path: '/srv/data/kek' },
    secretsPath: null,
    commandsPath: null,
    sessionMaxSeconds: 3600,
    maxConnections: 10_000,
    logLevel: 'info',
    warnings: [],
  })
})

test('every variable is read, and a flag wins over it (CONTRACT)', () => {
  const env = {
    ...public_,
    HALLPASS_PORT: '443',
    HALLPASS_ALLOWED_HOSTS: 'Broker.internal:8443, [fd00::1]',
    HALLPASS_TLS_CERT: 'tls/cert.pem',
    HALLPASS_TLS_KEY: '/etc/key.pem',
    HALLPASS_DATA: '/var/lib/hallpass',
    HALLPASS_SCOPES: 'manifests',
    HALLPASS_SCOPES_MODE: 'push',
    HALLPASS_DATABASE: 'sqlite:db/broker.db',
    HALLPASS_KEK: 'file:/run/secrets/kek',
    HALLPASS_SECRETS: '/run/secrets',
    HALLPASS_COMMANDS: 'commands.yaml',
    HALLPASS_SESSION_MAX: '15m',
    HALLPASS_MAX_CONNECTIONS: '500',
    HALLPASS_LOG: 'debug',
  }
  expect(unwrap(read(env, { port: '8443', sessionMax: '90' }))).toEqual({
    host: '0.0.0.0',
    port: 8443,
    loopback: false,
    issuer: 'https://hallpass.example.com',
    allowedHosts: ['hallpass.example.com', 'broker.internal', '[fd00::1]'],
    tls: { certPath: '/srv/tls/cert.pem', keyPath: '/etc/key.pem' },
    dataPath: '/var/lib/hallpass',
    scopesPath: '/srv/manifests',
    scopesMode: 'push',
    database: { engine: 'sqlite', path: '/srv/db/broker.db' },
    kek: { from: 'file', path: '/run/secrets/kek' },
    secretsPath: '/run/secrets',
    commandsPath: '/srv/commands.yaml',
    sessionMaxSeconds: 90,
    maxConnections: 500,
    logLevel: 'debug',
    warnings: [],
  })
})

test('every fault is reported at once (P8)', () => {
  const faults = faultsOf({
    HALLPASS_PORT: '99999',
    HALLPASS_ISSUER: 'ftp://x',
    HALLPASS_TLS_CERT: 'cert.pem',
    HALLPASS_SCOPES_MODE: 'pull',
    HALLPASS_DATABASE: 'mysql://x',
    HALLPASS_KEK: 'short',
    HALLPASS_SESSION_MAX: '2h',
    HALLPASS_MAX_CONNECTIONS: '99',
    HALLPASS_LOG: 'loud',
  })
  expect(faults.map((fault) => fault.split(' ')[0])).toEqual([
    'HALLPASS_PORT',
    'HALLPASS_TLS_CERT',
    'HALLPASS_ISSUER',
    'HALLPASS_KEK',
    'HALLPASS_SCOPES_MODE',
    'HALLPASS_DATABASE',
    'HALLPASS_SESSION_MAX',
    'HALLPASS_MAX_CONNECTIONS',
    'HALLPASS_LOG',
  ])
})

test.each([
  ['https://hallpass.example.com', 'https://hallpass.example.com'],
  ['https://Hallpass.Example.com:443/', 'https://hallpass.example.com'],
  ['http://localhost:9000/', 'http://localhost:9000'],
])('the issuer %s is normalized to an origin (S13)', (given, issuer) => {
  expect(unwrap(read({ HALLPASS_ISSUER: given })).issuer).toBe(issuer)
})

test.each([
  'http://hallpass.example.com',
  'https://hallpass.example.com/broker',
  'https://hallpass.example.com/?',
  'https://hallpass.example.com/#',
  'https://user:word@hallpass.example.com',
  'http://127.0.0.1.example.com',
  'hallpass.example.com',
  'javascript:alert(1)',
])('the issuer %s is refused (S13)', (issuer) => {
  expect(faultsOf({ HALLPASS_ISSUER: issuer })).toHaveLength(1)
})

test('off loopback an https issuer must be named (CONTRACT)', () => {
  expect(faultsOf({ HALLPASS_HOST: '0.0.0.0', HALLPASS_KEK: kek })).toEqual([
    expect.stringContaining('HALLPASS_ISSUER'),
  ])
  expect(faultsOf({ ...public_, HALLPASS_ISSUER: 'http://127.0.0.1:8420' })).toEqual([expect.stringContaining('https')])
  expect(faultsOf(public_)).toEqual([])
})

test('off loopback the KEK is neither a default nor in the data folder (S19)', () => {
  const { HALLPASS_KEK: _, ...without } = public_
  expect(faultsOf(without)).toEqual([expect.stringContaining('HALLPASS_KEK must be set off loopback')])
  for (const path of ['data/kek', '/srv/data/keys/kek', '/srv/x/../data/kek']) {
    expect(faultsOf({ ...public_, HALLPASS_KEK: `file:${path}` })).toEqual([expect.stringContaining('data folder')])
  }
  expect(faultsOf({ ...public_, HALLPASS_KEK: 'file:/srv/data-kek' })).toEqual([])
  expect(faultsOf({ HALLPASS_KEK: 'file:data/kek' })).toEqual([])
})

test('a broker on loopback that is reached from outside is warned of a KEK beside its database (S19)', () => {
  const outside = { HALLPASS_ISSUER: 'https://hallpass.example.com' }
  expect(unwrap(read(outside)).warnings).toEqual([expect.stringContaining('KEK')])
  expect(unwrap(read({ ...outside, HALLPASS_KEK: kek })).warnings).toEqual([])
})

test.each(['127.0.0.1', '127.8.9.10', '::1', '[::1]', 'localhost', 'LOCALHOST'])('%s is loopback (S19)', (host) => {
  expect(isLoopbackHost(host)).toBe(true)
})

test.each(['0.0.0.0', '::', '127.0.0.1.example.com', '127.0.0.256', '127.1', '10.0.0.1', 'localhost.example.com', ''])(
  '%s is not loopback (S19)',
  (host) => {
    expect(isLoopbackHost(host)).toBe(false)
  },
)

test('a secret in the configuration is in no fault and in no print of it (P7)', () => {
  const faults = faultsOf({
    HALLPASS_KEK: `${kek}x`,
    HALLPASS_DATABASE: 'postgres://broker:hunter2@db',
    HALLPASS_ISSUER: 'https://user:hunter2@x.example.com',
  })
  expect(faults).toHaveLength(3)
  expect(faults.join()).not.toMatch(/hunter2/)
  expect(faults.join()).not.toContain(kek)
  const config = unwrap(read({ HALLPASS_KEK: kek }))
  expect(inspect(config, { depth: 9 }) + JSON.stringify(config)).not.toContain(kek)
  const shared = unwrap(read({ HALLPASS_DATABASE: 'postgres://broker:hunter2@db/hallpass' }))
  expect(inspect(shared, { depth: 9 }) + JSON.stringify(shared)).not.toMatch(/hunter2/)
  expect(shared.database.engine === 'postgres' && shared.database.url.reveal()).toMatch(/hunter2/)
})

test('PostgreSQL is named by an address, and a database in memory is refused (P10)', () => {
  for (const url of ['postgres://db/hallpass', 'postgresql://u:p%40ss@10.0.0.1:5433/h?sslmode=verify-full']) {
    expect(unwrap(read({ HALLPASS_DATABASE: url })).database).toMatchObject({ engine: 'postgres' })
  }
  const warned = (url: string) => unwrap(read({ HALLPASS_DATABASE: url })).warnings.length
  expect(warned('postgres://db.example.com/hallpass?sslmode=disable')).toBe(1)
  for (const url of [
    'postgres://db.example.com/hallpass?sslmode=verify-full',
    'postgres://%2Frun%2Fpostgresql/h',
    'postgres:///h?host=/run/postgresql',
    'postgres://[::1]:5433/h',
  ]) {
    expect(warned(url)).toBe(0)
  }
  for (const url of ['postgres:', 'postgres://db', 'postgres://u:p@ss:x/h', 'mysql://db/hallpass']) {
    expect(faultsOf({ HALLPASS_DATABASE: url })).toHaveLength(1)
  }
  for (const database of ['sqlite::memory:', 'sqlite:', 'hallpass.db', 'sqlite:file:x?mode=memory']) {
    expect(faultsOf({ HALLPASS_DATABASE: database })).toHaveLength(1)
  }
})

test('an unknown variable of ours is warned about, with the one that was meant (P8)', () => {
  const env = { HALLPASS_PROT: '1', HALLPASS_URL: 'x', HALLPASS_TOOL_TICKETS: 'x', HALLPASS_AGENT_KEY: 'x', PATH: 'x' }
  expect(unwrap(read(env)).warnings).toEqual([
    'HALLPASS_PROT is no setting and does nothing; did you mean HALLPASS_PORT?',
  ])
})

test.each(['0', '3601', '61m', '1d', '-5', '1.5', 'abc', '5 m'])(
  'a session maximum of %s is refused (S11)',
  (value) => {
    expect(faultsOf({ HALLPASS_SESSION_MAX: value })).toHaveLength(1)
  },
)

test('the file of programs never lies among the manifests, which say less than it does (S5)', () => {
  for (const commands of ['scopes', 'scopes/commands.yaml', '/srv/scopes/tools/../c.yaml'])
    expect(faultsOf({ HALLPASS_COMMANDS: commands })).toEqual([expect.stringContaining('HALLPASS_COMMANDS')])
  expect(faultsOf({ HALLPASS_COMMANDS: 'commands.yaml' })).toEqual([])
})

test('the folder of secrets and the data folder never lie in each other (S5)', () => {
  for (const secrets of ['data', 'data/secrets', '/']) expect(faultsOf({ HALLPASS_SECRETS: secrets })).toHaveLength(1)
})

test('port 0 needs an issuer, for its own is not known beforehand (CONTRACT)', () => {
  expect(faultsOf({ HALLPASS_PORT: '0' })).toHaveLength(1)
  expect(unwrap(read({ HALLPASS_PORT: '0', HALLPASS_ISSUER: 'http://127.0.0.1:9' })).port).toBe(0)
})

test('a configuration cannot be changed after it was read (P10)', () => {
  const config = unwrap(read({ HALLPASS_KEK: kek }))
  expect([config, config.database, config.allowedHosts, config.kek].every(Object.isFrozen)).toBe(true)
})

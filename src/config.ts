// Environment and flags → one frozen Config. It reads no file and opens nothing, reports every fault at once, and never
// repeats a secret in a fault.

import { resolve, sep } from 'node:path'

import { type KekSource, parseKek } from './adapters/keys/kek.ts'
import { didYouMean } from './core/did-you-mean.ts'
import { parseDurationSeconds } from './core/duration.ts'
import { HTTP, LIFETIME } from './core/limits.ts'
import { err, ok, type Result } from './core/result.ts'
import { Secret } from './core/secret.ts'

export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export type Config = {
  readonly host: string
  readonly port: number
  /** The bind address is loopback: only programs of this machine reach it. */
  readonly loopback: boolean
  /** An origin, no slash at the end. */
  readonly issuer: string
  /** Host names (no port, IPv6 in brackets, lower case) that a `Host` header may carry. */
  readonly allowedHosts: readonly string[]
  readonly tls: { readonly certPath: string; readonly keyPath: string } | null
  readonly dataPath: string
  readonly scopesPath: string
  readonly scopesMode: 'watch' | 'push'
  readonly database:
    | { readonly engine: 'sqlite'; readonly path: string }
    /** The address may hold a password. */
    | { readonly engine: 'postgres'; readonly url: Secret }
  readonly kek: KekSource
  /** Folder for `file:` references of manifests (S5). */
  readonly secretsPath: string | null
  /** File of the programs that speak MCP and that manifests may name (S5). */
  readonly commandsPath: string | null
  readonly sessionMaxSeconds: number
  /** Connections held at a time; memory grows with them, by up to 100 KiB each. */
  readonly maxConnections: number
  readonly logLevel: LogLevel
  /** Sentences for whoever starts the broker. */
  readonly warnings: readonly string[]
}

/** What the command line may set; it wins over the environment. A KEK is no flag: command lines can be read by others. */
export type Flags = Readonly<
  Partial<
    Record<
      | 'host'
      | 'port'
      | 'issuer'
      | 'allowedHosts'
      | 'tlsCert'
      | 'tlsKey'
      | 'data'
      | 'scopes'
      | 'scopesMode'
      | 'database'
      | 'secrets'
      | 'commands'
      | 'sessionMax'
      | 'maxConnections'
      | 'log',
      string
    >
  >
>

const VARIABLES = {
  host: 'HALLPASS_HOST',
  port: 'HALLPASS_PORT',
  issuer: 'HALLPASS_ISSUER',
  allowedHosts: 'HALLPASS_ALLOWED_HOSTS',
  tlsCert: 'HALLPASS_TLS_CERT',
  tlsKey: 'HALLPASS_TLS_KEY',
  data: 'HALLPASS_DATA',
  scopes: 'HALLPASS_SCOPES',
  scopesMode: 'HALLPASS_SCOPES_MODE',
  database: 'HALLPASS_DATABASE',
  kek: 'HALLPASS_KEK',
  secrets: 'HALLPASS_SECRETS',
  commands: 'HALLPASS_COMMANDS',
  sessionMax: 'HALLPASS_SESSION_MAX',
  maxConnections: 'HALLPASS_MAX_CONNECTIONS',
  log: 'HALLPASS_LOG',
} as const

/** Read by the command line and by tools' secrets, not by the broker's configuration. */
const OTHERS = ['HALLPASS_URL', 'HALLPASS_TOKEN', 'HALLPASS_AGENT', 'HALLPASS_AGENT_KEY']
const OTHERS_PREFIX = 'HALLPASS_TOOL_'

const LOOPBACK_NAMES = ['127.0.0.1', 'localhost', '[::1]']
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/

/** 127.0.0.0/8, ::1 (with or without brackets) or localhost. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
  return bare === 'localhost' || bare === '::1' || /^127(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/.test(bare)
}

/**
 * The configuration, or every fault as a sentence. Relative paths are resolved against `cwd`. An empty variable counts
 * as not set, as in most compose files.
 */
export function readConfig(
  env: Readonly<Record<string, string | undefined>>,
  flags: Flags = {},
  cwd = process.cwd(),
): Result<Config, string[]> {
  const faults: string[] = []
  const given = (name: keyof typeof VARIABLES): string | null => {
    const text = ((name === 'kek' ? undefined : flags[name]) ?? env[VARIABLES[name]] ?? '').trim()
    return text === '' ? null : text
  }
  /** Null after a fault was noted. */
  const read = <T>(name: keyof typeof VARIABLES, preset: T, parse: (text: string) => Result<T, string>): T => {
    const text = given(name)
    if (text === null) return preset
    const parsed = parse(text)
    if (parsed.ok) return parsed.value
    faults.push(`${VARIABLES[name]} ${parsed.error}`)
    return preset
  }
  const path = (text: string): Result<string, string> =>
    text.includes('\0') ? err('must not contain NUL') : ok(resolve(cwd, text))
  const optionalPath = (name: keyof typeof VARIABLES) => read<string | null>(name, null, path)

  const host = read('host', '127.0.0.1', parseHost)
  const loopback = isLoopbackHost(host)
  const port = read('port', 8420, parsePort)
  const dataPath = read('data', resolve(cwd, 'data'), path)
  const [certPath, keyPath] = [optionalPath('tlsCert'), optionalPath('tlsKey')]
  if ((certPath === null) !== (keyPath === null)) {
    faults.push('HALLPASS_TLS_CERT and HALLPASS_TLS_KEY must be set together')
  }
  const tls = certPath !== null && keyPath !== null ? { certPath, keyPath } : null

  const ownOrigin = `${tls === null ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`
  const issuer = read('issuer', new URL(ownOrigin).origin, (text) => parseIssuer(text, loopback))
  if (given('issuer') === null && !loopback) {
    faults.push('HALLPASS_ISSUER must be set off loopback: the https:// address under which agents reach the broker')
  }
  if (given('issuer') === null && port === 0) {
    faults.push('HALLPASS_ISSUER must be set where HALLPASS_PORT is 0: the port is not known beforehand')
  }

  const named = read('allowedHosts', [], parseHosts)
  const allowedHosts = [...new Set([new URL(issuer).hostname, ...(loopback ? LOOPBACK_NAMES : []), ...named])]

  const secretsPath = optionalPath('secrets')
  if (secretsPath !== null && (isInside(secretsPath, dataPath) || isInside(dataPath, secretsPath))) {
    faults.push('HALLPASS_SECRETS and HALLPASS_DATA must not lie in each other')
  }

  const kek = read<KekSource>('kek', { from: 'data folder', path: resolve(dataPath, 'kek') }, (text) =>
    parseKekSource(text, cwd),
  )
  if (!loopback && given('kek') === null) {
    faults.push(
      'HALLPASS_KEK must be set off loopback: 32 bytes in base64, or file: and a path outside the data folder',
    )
  }
  if (!loopback && kek.from === 'file' && isInside(kek.path, dataPath)) {
    faults.push('HALLPASS_KEK must not lie in the data folder off loopback: a copy of the folder would open itself')
  }

  const scopesPath = read('scopes', resolve(cwd, 'scopes'), path)
  const commandsPath = optionalPath('commands')
  if (commandsPath !== null && isInside(commandsPath, scopesPath)) {
    faults.push(
      'HALLPASS_COMMANDS must not lie among the manifests: who writes those may name a program, never say what it is',
    )
  }
  const scopesMode = read<Config['scopesMode']>('scopesMode', 'watch', (text) => oneOf(text, ['watch', 'push']))
  const database = read<Config['database']>(
    'database',
    { engine: 'sqlite', path: resolve(dataPath, 'hallpass.db') },
    (text) => parseDatabase(text, cwd),
  )

  const config: Config = {
    host,
    port,
    loopback,
    issuer,
    allowedHosts,
    tls,
    dataPath,
    scopesPath,
    scopesMode,
    database,
    kek,
    secretsPath,
    commandsPath,
    sessionMaxSeconds: read<number>('sessionMax', LIFETIME.sessionMax, parseSessionMax),
    maxConnections: read<number>('maxConnections', HTTP.connections, parseConnections),
    logLevel: read<LogLevel>('log', 'info', (text) => oneOf(text, LOG_LEVELS)),
    warnings: [
      ...unknownVariables(env),
      ...(loopback && !isLoopbackHost(new URL(issuer).hostname) && kek.from !== 'value' && isInside(kek.path, dataPath)
        ? [
            'The broker is reached from outside, and its KEK lies in the data folder: set HALLPASS_KEK to one elsewhere.',
          ]
        : []),
      ...(database.engine === 'postgres' && isInTheClear(new URL(database.url.reveal()))
        ? ['HALLPASS_DATABASE is on another machine and reached in the clear: add ?sslmode=verify-full to the address.']
        : []),
    ],
  }
  return faults.length > 0 ? err(faults) : ok(deepFreeze(config))
}

function parseHost(text: string): Result<string, string> {
  const host = text.toLowerCase().replace(/^\[(.*)\]$/, '$1')
  const valid = host.includes(':') ? URL.canParse(`http://[${host}]`) : HOST_NAME.test(host)
  return valid ? ok(host) : err('must be a host name or an IP address')
}

function parsePort(text: string): Result<number, string> {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  return port <= 65_535 ? ok(port) : err('must be a port, 0 to 65535')
}

/** RFC 8414 section 2, and stricter: an origin, so that every well-known path is at its root. */
function parseIssuer(text: string, loopback: boolean): Result<string, string> {
  if (!URL.canParse(text)) return err('must be a URL: https:// and a host name')
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return err('must start with https://')
  if (url.username !== '' || url.password !== '') return err('must not carry a user name or password')
  if (url.pathname !== '/' || /[?#]/.test(text)) return err('must be an origin: no path, query or fragment')
  if (url.protocol === 'http:' && !(loopback && isLoopbackHost(url.hostname))) return err('must be https off loopback')
  return ok(url.origin)
}

function parseHosts(text: string): Result<string[], string> {
  const names = text
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
  const bare = names.map((name) => name.replace(/:\d{1,5}$/, ''))
  const wrong = bare.find((name) => !(HOST_NAME.test(name) || /^\[[0-9a-f:.]+\]$/.test(name)))
  return wrong === undefined ? ok(bare) : err('must be host names with commas between them, without wildcards')
}

function parseDatabase(text: string, cwd: string): Result<Config['database'], string> {
  if (/^postgres(ql)?:/i.test(text)) {
    // The address may carry a password: it is never repeated.
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null || url.pathname.length < 2 || url.hash !== '') {
      return err('must be postgres://user:password@host:port/database; what is special in a password is %-encoded')
    }
    return ok({ engine: 'postgres', url: new Secret(text) })
  }
  const path = /^sqlite:(?!\/\/)(.+)$/s.exec(text)?.[1]
  if (path === undefined || path.includes('\0'))
    return err('must be sqlite: and the path of a file, or the address of a database: postgres://…')
  if (path === ':memory:' || path.startsWith('file:'))
    return err('must be a plain file: what is in memory forgets what was revoked')
  return ok({ engine: 'sqlite', path: resolve(cwd, path) })
}

/** A socket's folder as the host, and loopback, leave the machine in no case. */
function isInTheClear({ hostname, searchParams }: URL): boolean {
  const host = decodeURIComponent(searchParams.get('host') ?? hostname)
  const isHere = host === '' || host.startsWith('/') || isLoopbackHost(host)
  return !isHere && ['disable', 'allow', 'prefer', null].includes(searchParams.get('sslmode'))
}

function parseKekSource(text: string, cwd: string): Result<KekSource, string> {
  if (text.startsWith('file:')) {
    const path = text.slice('file:'.length).replace(/^\/\/(?=\/)/, '')
    return path === '' || path.includes('\0')
      ? err('must name a file after file:')
      : ok({ from: 'file', path: resolve(cwd, path) })
  }
  return parseKek(text) === null
    ? err('must be 32 bytes in base64 (openssl rand -base64 32), or file: and a path')
    : ok({ from: 'value', value: new Secret(text) })
}

function parseSessionMax(text: string): Result<number, string> {
  const seconds = /^\d{1,8}$/.test(text) ? Number(text) : parseDurationSeconds(text)
  if (seconds === null) return err('must be seconds, or a duration such as 30m')
  return seconds >= 1 && seconds <= LIFETIME.sessionMax ? ok(seconds) : err('must be between 1s and 1h')
}

function parseConnections(text: string): Result<number, string> {
  const count = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN
  return count >= 100 && count <= 100_000 ? ok(count) : err('must be a number from 100 to 100000')
}

function oneOf<T extends string>(text: string, allowed: readonly T[]): Result<T, string> {
  const found = allowed.find((value) => value === text)
  return found === undefined ? err(`must be one of ${allowed.join(', ')}`) : ok(found)
}

function unknownVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const known: string[] = [...Object.values(VARIABLES), ...OTHERS]
  return Object.keys(env)
    .filter((name) => name.startsWith('HALLPASS_') && !name.startsWith(OTHERS_PREFIX) && !known.includes(name))
    .map((name) => {
      const meant = didYouMean(name, known)
      return `${name} is no setting and does nothing${meant === null ? '.' : `; did you mean ${meant}?`}`
    })
}

const isInside = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !(value instanceof Secret)) {
    Object.values(value).forEach(deepFreeze)
    Object.freeze(value)
  }
  return value
}

// An agent's own way in, for shells and CI: its name and key become a session, and a grant becomes a credential. The key
// is read and signs here; it goes nowhere.

import { createPrivateKey, createPublicKey, type KeyObject, randomUUID } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { calculateJwkThumbprint, SignJWT } from 'jose'
import type { TokenAlg } from '../core/manifest.ts'
import type { Cli } from './command.ts'
import { brokerUrl, type Remote, remoteAt } from './remote.ts'
import { numberOf, objectOf, textOf } from './show.ts'
import { Stop } from './stop.ts'

const ASSERTION_SECONDS = 60
const MAX_KEY_BYTES = 16 * 1024
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'
/** A session with less left than this is not used for another step (milliseconds). */
const TOO_SHORT_MS = 30_000

export type AgentIdentity = {
  readonly agent: string
  /** The broker's origin. */
  readonly url: URL
  /** The API with this agent's session, a new one where the last is about to end. */
  api(): Promise<Remote>
  session(): Promise<{ readonly token: string; readonly expiresInSeconds: number }>
  /** The broker no longer takes this session's token: the next step opens another. */
  dismiss(token: string): void
  /** RFC 8693. */
  exchange(grantId: string): Promise<{
    readonly token: string
    readonly expiresInSeconds: number
    readonly scope: string
    /** How a tool's own secret is presented to it; null: as a bearer. */
    readonly use: { readonly header: string; readonly prefix: string } | null
  }>
  /** RFC 7009: takes back a credential of this agent. */
  revoke(credential: string): Promise<void>
}

/** From HALLPASS_URL, HALLPASS_AGENT and HALLPASS_AGENT_KEY. The broker is asked when a session is needed, not before. */
export function agentIdentity(
  { env, cwd, terminal }: Pick<Cli, 'env' | 'cwd' | 'terminal'>,
  { sharedKey = 'warn' }: { readonly sharedKey?: 'warn' | 'refuse' } = {},
): AgentIdentity {
  const named = (name: string) => (env[name] ?? '').trim()
  const missing = ['HALLPASS_URL', 'HALLPASS_AGENT', 'HALLPASS_AGENT_KEY'].filter((name) => named(name) === '')
  if (missing.length > 0)
    throw new Stop(
      1,
      `an agent asks with its own name and key: ${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not set`,
      [
        'HALLPASS_URL: the broker. HALLPASS_AGENT: the name in its manifest. HALLPASS_AGENT_KEY: the path of its private key.',
        '`hallpass agent new NAME …` makes an agent and its key.',
      ],
    )
  const agent = named('HALLPASS_AGENT')
  const url = brokerUrl(named('HALLPASS_URL'))
  const key = readKey(resolve(cwd, named('HALLPASS_AGENT_KEY')), (text) => {
    if (sharedKey === 'refuse') throw new Stop(1, text, ['Then start it again.'])
    terminal.note(`warning: ${text}`)
  })
  const anyone = remoteAt({ by: 'url', url, token: null })
  let isBelieved = false
  const believe = async () => {
    const metadata = objectOf(await anyone.call({ path: '/.well-known/oauth-authorization-server' }))
    // RFC 8414 section 3.3: what names another issuer is not believed.
    if (metadata.issuer !== url.origin)
      throw new Stop(2, `${url.origin} says that its issuer is ${textOf(metadata.issuer) || 'not known'}`, [
        'Set HALLPASS_URL to the broker’s issuer.',
      ])
    isBelieved = true
  }

  type Session = { readonly token: string; readonly endsAt: number }
  let current: Session | null = null
  let coming: Promise<Session> | null = null
  const openSession = async (): Promise<Session> => {
    if (!isBelieved) await believe()
    const opened = objectOf(
      await anyone.call({
        path: '/oauth/token',
        form: {
          grant_type: 'client_credentials',
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: await assertion(agent, key, url.origin),
        },
      }),
    )
    const endsAt = performance.now() + numberOf(opened.expires_in) * 1000
    current = { token: textOf(opened.access_token), endsAt }
    return current
  }
  const session = async () => {
    const isGood = current !== null && current.endsAt - performance.now() > TOO_SHORT_MS
    if (!isGood)
      coming ??= openSession().finally(() => {
        coming = null
      })
    const { token, endsAt } = isGood ? current! : await coming!
    return { token, expiresInSeconds: Math.floor((endsAt - performance.now()) / 1000) }
  }
  return {
    agent,
    url,
    session,
    dismiss(token) {
      if (current?.token === token) current = null
    },
    api: async () => remoteAt({ by: 'url', url, token: (await session()).token }),
    async exchange(grantId) {
      const { token } = await session()
      const issued = objectOf(
        await anyone.call({
          path: '/oauth/token',
          form: {
            grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
            subject_token: token,
            subject_token_type: ACCESS_TOKEN_TYPE,
            grant_id: grantId,
          },
        }),
      )
      const use = issued.hallpass_use === undefined ? {} : objectOf(issued.hallpass_use)
      return {
        token: textOf(issued.access_token),
        expiresInSeconds: numberOf(issued.expires_in),
        scope: textOf(issued.scope),
        use: issued.hallpass_use === undefined ? null : { header: textOf(use.header), prefix: textOf(use.prefix) },
      }
    },
    async revoke(credential) {
      const { token } = await session()
      await remoteAt({ by: 'url', url, token }).text({ path: '/oauth/revoke', form: { token: credential } })
    },
  }
}

/** RFC 7523 section 2.2. */
async function assertion(agent: string, key: KeyObject, issuer: string): Promise<string> {
  const kid = await calculateJwkThumbprint(createPublicKey(key).export({ format: 'jwk' }))
  return new SignJWT({})
    .setProtectedHeader({ alg: algOf(key) ?? 'ES256', typ: 'JWT', kid })
    .setIssuer(agent)
    .setSubject(agent)
    .setAudience(issuer)
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime(`${ASSERTION_SECONDS}s`)
    .sign(key)
}

function algOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): TokenAlg | null {
  if (asymmetricKeyType === 'rsa') return 'RS256'
  return asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1' ? 'ES256' : null
}

function readKey(path: string, shared: (text: string) => void): KeyObject {
  const { bytes, mode } = bytesOf(path)
  if ((mode & 0o077) !== 0) shared(`${path} can be read by others: chmod 600 it`)
  let key: KeyObject
  try {
    key = createPrivateKey(bytes)
  } catch {
    throw new Stop(1, `HALLPASS_AGENT_KEY: ${path} is not a private key in PEM without a passphrase`)
  }
  if (algOf(key) === null)
    throw new Stop(1, `HALLPASS_AGENT_KEY: ${path} is neither an EC P-256 key (ES256) nor an RSA key (RS256)`)
  return key
}

/** What is looked at is what is read: one opening of the file. */
function bytesOf(path: string): { readonly bytes: Buffer; readonly mode: number } {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (thrown) {
    const isDenied = thrown instanceof Error && 'code' in thrown && thrown.code === 'EACCES'
    throw new Stop(1, `HALLPASS_AGENT_KEY: ${path} ${isDenied ? 'cannot be read by this user' : 'is not a key file'}`)
  }
  try {
    const there = fstatSync(file)
    if (!there.isFile() || there.size > MAX_KEY_BYTES)
      throw new Stop(1, `HALLPASS_AGENT_KEY: ${path} is not a key file`)
    return { bytes: readFileSync(file), mode: there.mode }
  } finally {
    closeSync(file)
  }
}

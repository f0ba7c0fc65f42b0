// The keys that sign, in memory: it follows the store's log and nothing else. A private key is opened here, used here,
// and leaves in no form.

import { createPublicKey, type KeyObject, sign } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { errors, jwtVerify } from 'jose'
import type { Clock, Log, Settings, Signer, Store } from '../../actions/ports.ts'
import { encodeVerifierKey, signCheckpoint } from '../../core/checkpoint.ts'
import { TOKEN_BYTES_MAX } from '../../core/limits.ts'
import { TOKEN_ALGS } from '../../core/manifest.ts'
import type { Instant, KeyState, Seq, SigningKey } from '../../core/model.ts'
import { joseSignature } from './jose-signature.ts'
import { openKey } from './seal.ts'

/** Held by what it knows of each key; `privateKey` only where the key signs or is about to. */
type Held = {
  readonly row: SigningKey
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject | null
  /** `base64url(header).` of a token. */
  readonly head: string
}

type Signing = Held & { readonly privateKey: KeyObject }
const isOpen = (key: Held): key is Signing => key.privateKey !== null

type PublicKeys = ReturnType<Signer['jwks']>

export interface KeyRing extends Signer {
  close(): Promise<void>
}

/** This KEK is not the one that the keys were sealed with. Nothing was changed. */
export class WrongKek extends Error {
  override name = 'WrongKek'
  constructor(kid: string) {
    super(
      `HALLPASS_KEK does not open the key ${kid} of this database. Nothing was changed: start again with the KEK that this database was made with.`,
    )
  }
}

const RETRY_MS = 500

const AGE: Readonly<Record<KeyState, number>> = { published: 0, signing: 1, retiring: 2, retired: 3 }

/**
 * The signer over a store that has its first keys (`ensureKeys`).
 * @throws WrongKek when the KEK does not open a key that signs or will; Error when there is no key to sign with.
 */
export async function createSigner(deps: {
  readonly store: Pick<Store, 'list' | 'changes'>
  readonly kek: KeyObject
  readonly clock: Pick<Clock, 'now'>
  readonly settings: Pick<Settings, 'issuer'>
  readonly log: Pick<Log, 'warn' | 'error'>
}): Promise<KeyRing> {
  const held = new Map<string, Held>()
  /** Made anew when a row changes or a key's time is up. */
  let published: { readonly keys: PublicKeys; readonly until: Instant } | null = null
  const stop = new AbortController()

  const hold = (row: SigningKey) => {
    const known = held.get(row.id)
    // A key only moves on: what the log tells late must not bring one back that was read since.
    if (known !== undefined && AGE[row.state] < AGE[known.row.state]) return
    published = null
    const opened = row.sealed === '' ? null : (known?.privateKey ?? openKey(row.sealed, deps.kek, row))
    if (row.sealed !== '' && opened === null) throw new WrongKek(row.id)
    const publicKey = known?.publicKey ?? createPublicKey({ key: row.publicJwk, format: 'jwk' })
    const header = { alg: row.alg, typ: 'at+jwt', kid: row.id }
    held.set(row.id, { row, publicKey, privateKey: opened, head: `${base64url(JSON.stringify(header))}.` })
  }

  const load = async (): Promise<Seq> => {
    let page = await deps.store.list({ kind: 'key', limit: 500 })
    const { seq } = page
    for (;;) {
      page.rows.forEach(hold)
      if (page.next === null) return seq
      page = await deps.store.list({ kind: 'key', limit: 500, after: page.next })
    }
  }

  const follow = async (from: Seq) => {
    for (let after: Seq | null = from; !stop.signal.aborted; after = null) {
      try {
        for await (const feed of deps.store.changes(after ?? (await load()), stop.signal)) {
          if (feed.type === 'reload') break
          if (feed.type === 'change') for (const { kind, row } of feed.change.put) if (kind === 'key') hold(row)
        }
      } catch (thrown) {
        if (stop.signal.aborted) return
        deps.log.error({ err: thrown }, 'the signing keys cannot be followed; trying again')
      }
      await delay(RETRY_MS, undefined, { ref: false, signal: stop.signal }).catch(ignoreAbort)
    }
  }

  const inState = (use: SigningKey['use'], alg: SigningKey['alg']): Signing | null => {
    for (const key of held.values())
      if (key.row.use === use && key.row.alg === alg && key.row.state === 'signing' && isOpen(key)) return key
    return null
  }
  const surely = (use: SigningKey['use'], alg: SigningKey['alg']) => {
    const key = inState(use, alg)
    if (key === null) throw new Error(`no key for ${use}: the store was not initialized`)
    return key
  }

  /** A token key that tokens may still be signed by, as far as time goes. */
  const verifying = (kid: string | undefined): Held | null => {
    const key = kid === undefined ? undefined : held.get(kid)
    return key !== undefined && verifies(key.row, deps.clock.now()) ? key : null
  }

  const seq = await load()
  const audit = surely('audit', 'Ed25519')
  surely('tokens', 'ES256')
  const origin = `hallpass/audit/${audit.row.id.slice(0, 16)}`
  const followed = follow(seq)

  return {
    async signToken(claims, alg = 'ES256') {
      const { row, head, privateKey } = surely('tokens', alg)
      const input = head + base64url(JSON.stringify(claims))
      const signature =
        alg === 'RS256'
          ? await signInPool('sha256', Buffer.from(input), privateKey)
          : // The bare key, and not { key, dsaEncoding }: with an object, Node 24 spends three times the signature on
            // finding out that it is no key.
            joseSignature(sign('sha256', Buffer.from(input), privateKey))
      return { token: `${input}.${signature.toString('base64url')}`, kid: row.id }
    },
    signingKid: () => surely('tokens', 'ES256').row.id,
    canSign: (alg) => inState('tokens', alg) !== null,
    jwks() {
      const now = deps.clock.now()
      if (published === null || published.until <= now) {
        const rows = [...held.values()].map(({ row }) => row).filter((row) => verifies(row, now))
        published = {
          keys: { keys: rows.map(({ id, alg, publicJwk }) => ({ ...publicJwk, use: 'sig', alg, kid: id })) },
          until: Math.min(...rows.map(({ retiresAt }) => retiresAt ?? Number.POSITIVE_INFINITY)),
        }
      }
      return published.keys
    },
    async refresh() {
      await load()
    },
    verifyToken: (token) =>
      token.length > TOKEN_BYTES_MAX
        ? Promise.resolve(null)
        : verifyJwt(token, verifying, deps.settings.issuer, deps.clock.now()),
    signCheckpoint: (size, root, at) => signCheckpoint({ origin, size, root, signedAt: at }, origin, audit.privateKey),
    auditVerifierKey: () => encodeVerifierKey(origin, audit.publicKey),
    async close() {
      stop.abort()
      await followed
    },
  }
}

/** RSA takes ten times as long as P-256: off the loop. */
const signInPool = promisify<string, Buffer, KeyObject, Buffer>(sign)

const base64url = (text: string): string => Buffer.from(text, 'utf8').toString('base64url')

const verifies = ({ use, state, retiresAt }: SigningKey, now: Instant): boolean =>
  use === 'tokens' && state !== 'retired' && (retiresAt === null || now < retiresAt)

/** RFC 9068 section 4 and RFC 8725: our algorithm, our type, our issuer, our key, in time. Null for any other token. */
async function verifyJwt(
  token: string,
  keyOf: (kid: string | undefined) => Held | null,
  issuer: string,
  now: Instant,
): Promise<Readonly<Record<string, unknown>> | null> {
  try {
    const { payload } = await jwtVerify(
      token,
      ({ kid, alg }) => {
        const key = keyOf(kid)
        // The algorithm is the key's to say, never the token's.
        if (key === null || key.row.alg !== alg) throw new errors.JWKSNoMatchingKey()
        return key.publicKey
      },
      {
        algorithms: [...TOKEN_ALGS],
        typ: 'at+jwt',
        issuer,
        currentDate: new Date(now),
        requiredClaims: ['sub', 'aud', 'iat', 'exp', 'jti'],
      },
    )
    return payload
  } catch (thrown) {
    if (thrown instanceof errors.JOSEError) return null
    throw thrown
  }
}

/** Being woken to stop is how waiting ends. */
const ignoreAbort = (thrown: unknown): void => {
  if (!(thrown instanceof Error && thrown.name === 'AbortError')) throw thrown
}

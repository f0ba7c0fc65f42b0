// The grants of a client that has no runtime of its own to redeem them: each one's credential is held in files, fresh for as
// long as the grant lives. Only paths leave here.

import { BRIDGE } from '../../core/limits.ts'
import type { AgentIdentity } from '../agent-identity.ts'
import { Stop } from '../stop.ts'
import type { CredentialFiles } from './credential-files.ts'

export type GrantFiles = {
  /** One header line, as curl takes it with `-H @FILE`. */
  readonly headerFile: string
  /** What the header carries, alone. */
  readonly tokenFile: string
}

export type KeptGrants = {
  /** The files of a live grant, redeemed if need be. Throws where there is no credential to be had. */
  keep(grant: { readonly id: string; readonly tool: string }): Promise<GrantFiles>
  /** The files of a grant that was redeemed here before; null: it was not. */
  find(grantId: string): GrantFiles | null
  /** The client asked for it here: it ends when the client goes. */
  own(grantId: string): void
  /** The grant is over: its files go. */
  drop(grantId: string): void
  /** Removes the files, and gives back what was asked for here; credentials under other grants are revoked. */
  close(): Promise<void>
}

export type KeptParts = {
  readonly identity: Pick<AgentIdentity, 'exchange' | 'revoke'>
  readonly files: CredentialFiles
  readonly release: (grantId: string) => Promise<unknown>
  readonly note: (line: string) => void
  readonly now?: () => number
}

type Kept = GrantFiles & {
  readonly names: readonly string[]
  readonly token: string
  readonly until: number
  timer: NodeJS.Timeout | null
}

/** A credential is replaced this long before its end, or with a fifth of its life left (milliseconds). */
const LEAST_MS = 15_000
/** Between two tries to replace it (milliseconds). */
const AGAIN_MS = 5_000

export function createKeptGrants({
  identity,
  files,
  release,
  note,
  now = () => performance.now(),
}: KeptParts): KeptGrants {
  const kept = new Map<string, Kept>()
  const coming = new Map<string, Promise<Kept>>()
  const own = new Set<string>()
  let isOver = false

  const redeem = async (id: string, name: string): Promise<Kept> => {
    const issued = await identity.exchange(id)
    if (isOver) {
      await identity.revoke(issued.token)
      throw new Error('the client has left')
    }
    const { header, prefix } = issued.use ?? { header: 'Authorization', prefix: 'Bearer ' }
    const names = [`${name}.header`, `${name}.token`] as const
    const [headerFile, tokenFile] = [
      files.write(names[0], `${header}: ${prefix}${issued.token}\n`),
      files.write(names[1], issued.token),
    ]
    const life = issued.expiresInSeconds * 1000
    const entry: Kept = { headerFile, tokenFile, names, token: issued.token, until: now() + life, timer: null }
    kept.set(id, entry)
    again(id, name, entry, life - Math.max(life / 5, Math.min(LEAST_MS, life / 2)))
    return entry
  }
  const again = (id: string, name: string, entry: Kept, afterMs: number) => {
    entry.timer = setTimeout(() => void renew(id, name, entry), afterMs)
    entry.timer.unref()
  }
  const renew = async (id: string, name: string, entry: Kept): Promise<void> => {
    try {
      await once(id, name)
    } catch (thrown) {
      if (isOver || kept.get(id) !== entry) return
      const why = thrown instanceof Error ? thrown.message : 'something broke'
      if (thrown instanceof Stop && thrown.problem !== null) {
        note(`grant ${id} is over: ${why}`)
        drop(id)
        return
      }
      note(`grant ${id}: its credential could not be replaced (${why})`)
      if (now() >= entry.until) for (const each of entry.names) files.remove(each)
      again(id, name, entry, AGAIN_MS)
    }
  }
  /** One redemption of a grant at a time. */
  const once = (id: string, name: string): Promise<Kept> => {
    const under = coming.get(id)
    if (under !== undefined) return under
    const made = redeem(id, name).finally(() => coming.delete(id))
    coming.set(id, made)
    return made
  }
  const drop = (id: string): void => {
    const entry = kept.get(id)
    own.delete(id)
    if (entry === undefined) return
    if (entry.timer !== null) clearTimeout(entry.timer)
    kept.delete(id)
    for (const name of entry.names) files.remove(name)
  }

  return {
    async keep({ id, tool }) {
      if (!/^[A-Za-z0-9_-]{1,128}$/.test(id)) throw new Error('this is no id of a grant')
      const known = kept.get(id)
      if (known !== undefined && now() < known.until) return known
      if (known === undefined && kept.size + coming.size >= BRIDGE.grants)
        throw new Error(`${BRIDGE.grants} grants are in use here: release some`)
      return once(id, /^[a-z0-9-]{1,63}$/.test(tool) ? `${tool}.${id}` : id)
    },
    find: (id) => kept.get(id) ?? null,
    own(id) {
      own.add(id)
    },
    drop,
    async close() {
      isOver = true
      for (const { timer } of kept.values()) if (timer !== null) clearTimeout(timer)
      files.close()
      const ends = [
        ...[...own].map((id) => release(id)),
        ...[...kept].filter(([id]) => !own.has(id)).map(([, { token }]) => identity.revoke(token)),
        ...coming.values(),
      ]
      for (const done of await Promise.allSettled(ends))
        if (done.status === 'rejected' && done.reason instanceof Stop) note(done.reason.message)
      files.close()
    },
  }
}

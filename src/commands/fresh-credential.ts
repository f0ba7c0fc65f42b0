// An agent's credential that is always good for a while: redeemed anew before it ends, one redemption at a time, and asked
// for again where its grant is over. It is held in memory alone, and given back at the end.

import type { AgentIdentity } from './agent-identity.ts'

export type Credential = {
  readonly token: string
  /** The header that carries it, and what stands before it. */
  readonly header: string
  readonly prefix: string
}

export type FreshCredential = {
  /** Throws where there is none to be had: the grant is over, or the broker is away. */
  get(): Promise<Credential>
  /** The tool did not take it: the next call gets another. */
  refused(token: string): void
  giveBack(): Promise<void>
}

/** A credential with less left than this, or than a fifth of its life, is not used for another call (milliseconds). */
const LEAST_MS = 15_000

/** @param grantId asks for the grant, again where the last one is over. */
export function freshCredential(
  identity: Pick<AgentIdentity, 'exchange' | 'revoke'>,
  grantId: (again: boolean) => Promise<string>,
  now: () => number = () => performance.now(),
): FreshCredential {
  let held: (Credential & { readonly until: number }) | null = null
  let coming: Promise<Credential> | null = null
  let isOver = false

  const redeem = async (): Promise<Credential> => {
    const issued = await identity
      .exchange(await grantId(false))
      .catch(async () => identity.exchange(await grantId(true)))
    const life = issued.expiresInSeconds * 1000
    const { header, prefix } = issued.use ?? { header: 'Authorization', prefix: 'Bearer ' }
    held = { token: issued.token, header, prefix, until: now() + life - Math.min(LEAST_MS, life / 5) }
    if (isOver) await identity.revoke(issued.token)
    return held
  }
  return {
    get() {
      if (held !== null && now() < held.until) return Promise.resolve(held)
      coming ??= redeem().finally(() => {
        coming = null
      })
      return coming
    },
    refused(token) {
      if (held?.token === token) held = null
    },
    async giveBack() {
      isOver = true
      const last = held
      held = null
      await coming?.catch(() => undefined)
      if (last !== null) await identity.revoke(last.token)
    },
  }
}

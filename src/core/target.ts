// What a tool's own admin API holds and can do, in words every target shares. Pure: adapters speak to the tools.

import type { Instant } from './model.ts'
import type { Secret } from './secret.ts'

/** What a kind of target can do. What it cannot do limits what may be promised, and `scopes check` says so. */
export type Capabilities = {
  /** How finely it can hold an account to its rights. */
  readonly scope: 'exact' | 'coarse' | 'none'
  /** Whether the tool itself ends an account at a time it was told. */
  readonly expires: boolean
  readonly lists: boolean
  /** False: nothing can be taken away before it expires; lifetimes are capped and a warning stands. */
  readonly revokes: boolean
  readonly probes: boolean
  /** After a removal that was read back, the tool refuses within this many milliseconds. */
  readonly deadWithinMilliseconds: number
  /** How an account's secret is presented: the header, and what stands before the secret in it. */
  readonly presents: { readonly header: string; readonly prefix: string }
}

/** An account as it is wanted: one agent and grant. `name` is deterministic, so that it is found after any crash. */
export type WantedAccount = {
  readonly name: string
  /** In the tool's own words, sorted and unique: Redmine `PROJECT:ROLE`, RT a group's name, InfluxDB `READ:DATABASE`. */
  readonly rights: readonly string[]
  /** For people who look into the tool: whose it is and why it is there. */
  readonly label: string
  readonly until: Instant
}

/** An account as the tool says it is. */
export type HeldAccount = {
  readonly name: string
  /** What the tool knows it by; opaque to all but the target. */
  readonly external: string
  readonly active: boolean
  /** Sorted and unique, in the words of {@link WantedAccount}. Rights that have no such word appear as the tool names them. */
  readonly rights: readonly string[]
}

export type MadeAccount = { readonly external: string; readonly secret: Secret }

/** What went wrong with a call to a tool, and what may have come of it. */
export class TargetFailure extends Error {
  override name = 'TargetFailure'
  readonly why: 'unreachable' | 'timeout' | 'busy' | 'refused' | 'garbled'
  /** The tool may have carried it out all the same: only reading back tells. */
  readonly mayHaveActed: boolean
  readonly retryAfterSeconds: number | null
  constructor(
    why: TargetFailure['why'],
    message: string,
    {
      mayHaveActed = true,
      retryAfterSeconds = null,
    }: { mayHaveActed?: boolean; retryAfterSeconds?: number | null } = {},
  ) {
    super(message)
    this.why = why
    this.mayHaveActed = mayHaveActed
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** The tool was not even asked: too much waits for it, or it is left alone after failures. It says nothing about one account. */
export class NotAsked extends TargetFailure {
  override name = 'NotAsked'
  constructor(message: string, retryAfterSeconds: number) {
    super('busy', message, { mayHaveActed: false, retryAfterSeconds })
  }
}

/**
 * One tool's admin API. Every call may be repeated: what is there already, or gone already, is success. Each throws
 * {@link TargetFailure}, and judges by the state it reads, never by a status code alone.
 */
export interface Target {
  readonly capabilities: Capabilities
  /**
   * Rights as `look` will name them once they are held: sorted, unique, each in one spelling. Asks nobody. Throws `refused`,
   * with a hint, for a word that is none of this tool's.
   */
  canonical(rights: readonly string[]): readonly string[]
  /** Makes the account, or completes one of that name that was made by half, and reads back that its rights are exactly these. */
  create(wanted: WantedAccount, signal: AbortSignal): Promise<MadeAccount>
  /** Brings the rights of an account that is there back to exactly these. */
  setRights(account: { readonly name: string }, rights: readonly string[], signal: AbortSignal): Promise<void>
  /**
   * Makes the account unable to do anything, by its name: locked or disabled where deletion would lose the tool's own
   * history. Its secret is for tools that know an account by nothing else.
   */
  remove(account: { readonly name: string; readonly secret?: Secret }, signal: AbortSignal): Promise<void>
  /** The account as it is now; null where there is none of that name. */
  look(account: { readonly name: string }, signal: AbortSignal): Promise<HeldAccount | null>
  /** Uses the secret as the agent would. */
  probe(secret: Secret, signal: AbortSignal): Promise<'alive' | 'dead'>
  /** Every account the tool holds, ours and others', at most `limit`; more throws. */
  list(limit: number, signal: AbortSignal): Promise<readonly HeldAccount[]>
}

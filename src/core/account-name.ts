// What an account is called in a tool: the same for the same grant and generation after any crash, never the same for two
// installations, and told from others' accounts by its looks alone.

import { createHash } from 'node:crypto'
import type { Account, Instant } from './model.ts'

const hex = (text: string, digits: number) => createHash('sha256').update(text, 'utf8').digest('hex').slice(0, digits)

/** Four hex digits of this installation: two that share a tool leave each other's accounts alone. */
export const installationTag = (issuer: string, initializedAt: Instant | null): string =>
  hex(`${issuer}\n${initializedAt}`, 4)

export const accountName = (tag: string, grant: string, generation: number): string =>
  `hp-${tag}${hex(`${tag}\n${grant}\n${generation}`, 12)}`

/** Whether an account of that name is, or was, made by this installation. */
export const isOurs = (tag: string, name: string): boolean => new RegExp(`^hp-${tag}[0-9a-f]{12}$`).test(name)

/** The row of one generation: a second intent for it finds the first. Ids of one grant sort by generation. */
export const accountId = (grant: string, generation: number): string =>
  `acc_${grant.replace(/^[a-z]+_/, '')}_${String(generation).padStart(6, '0')}`

/** What is one after the other for one grant: its accounts, in whatever generation (S16). */
export const orderOf = ({ grant }: Pick<Account, 'grant'>): string => `accounts of ${grant}`

/** Whose an account is that a drill makes: no agent's, for no agent can be called that. */
export const CANARY = '#drill'

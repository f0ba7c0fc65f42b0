// What a vendor's service is to a test of its recipe: a description of its API and a state behind it.

import type { HttpCall } from '../../../src/adapters/targets/http-call.ts'

export type Vendor = {
  readonly call: HttpCall
  readonly heard: readonly string[]
  readonly admin: string
  readonly values: Readonly<Record<string, string>>
  /** Two rights that an account may have, each alone or both where `many`. */
  readonly rights: readonly [string, string]
  readonly many: boolean
  /** What a secret may do at the service now; null: refused. */
  allowed(secret: string): readonly string[] | null
  /** How many accounts of that name the service has, of whatever state. */
  count(name: string): number
  addByHand(name: string): void
  /** Changes that are asked for are answered as if they were made, and are not. */
  lie(lies: boolean): void
}

/** The members of a JSON object on a way through it; undefined where it ends early. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  let found = value
  for (const key of path) found = found !== null && typeof found === 'object' ? Reflect.get(found, key) : undefined
  return found
}

/** The texts of a list of texts. */
export const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : [])

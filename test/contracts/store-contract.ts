// What every store must do, on whichever engine: one test an invariant of the one write path. It knows only the port.

import { afterEach, beforeEach, describe } from 'vitest'
import type { Store } from '../../src/actions/ports.ts'
import { brokenWorldContract } from './store/broken-world.ts'
import { feedContract } from './store/change-feed.ts'
import { historyContract } from './store/history.ts'
import { orderContract } from './store/order.ts'
import { raceContract } from './store/races.ts'
import { readContract } from './store/reads.ts'
import { refusalContract } from './store/refusals.ts'
import type { TestClock } from './store-fixtures.ts'

export type Opened = {
  readonly store: Store
  readonly clock: TestClock
  /** Closes it and opens it again over the same data. */
  reopen(): Promise<Store>
  /** Opens the same data a second time, while the first is open. */
  second(): Promise<Store>
  /** Makes every write fail from outside; the answer heals it. */
  breakWrites(): (() => void) | Promise<() => Promise<void>>
  /** Arguments with which `committing-child.ts` opens the same data, once this is closed. */
  readonly child: readonly string[]
  /** Closes it, and forgets the data. */
  close(): Promise<void>
}

export type OpenOptions = { readonly maxQueue?: number; readonly keepChanges?: number }

export type Traits = {
  /** One process holds the data; a second is refused. */
  readonly isExclusive: boolean
}

/** The store under test: a fresh one for each. */
export type Contract = {
  store: Store
  opened: Opened
  readonly traits: Traits
  /** Opens it anew, empty, with other limits. */
  withOptions(options: OpenOptions): Promise<void>
}

export function storeContract(name: string, open: (options?: OpenOptions) => Promise<Opened>, traits: Traits): void {
  describe(`the store on ${name}`, () => {
    const on = { traits } as Contract
    const start = async (options?: OpenOptions) => {
      on.opened = await open(options)
      on.store = on.opened.store
    }
    on.withOptions = async (options) => {
      await on.opened.close()
      await start(options)
    }
    beforeEach(() => start())
    afterEach(() => on.opened.close())

    orderContract(on)
    refusalContract(on)
    raceContract(on)
    readContract(on)
    feedContract(on)
    brokenWorldContract(on)
    historyContract(on)
  })
}

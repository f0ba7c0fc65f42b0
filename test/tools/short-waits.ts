// Run before the broker (`node --import`): its waits for tools are shorter, so that what takes an operator's broker minutes
// takes a suite seconds. It changes how long and never what; the broker has no hook for it.

import { TARGET } from '../../src/core/limits.ts'

export type Waits = Partial<Record<keyof typeof TARGET, number>>

Object.assign(TARGET, JSON.parse(process.env.SHORT_WAITS ?? '{}'))

// What actions need of tools with accounts: fakes by the URL that they were accepted with, none where none is named.

import type { KeyObject } from 'node:crypto'
import type { CallLimits, Clock, Deps } from '../../src/actions/ports.ts'
import { createToolCalls } from '../../src/actions/tool-calls.ts'
import { createVault } from '../../src/adapters/keys/vault.ts'
import { TARGET } from '../../src/core/limits.ts'
import { type Target, TargetFailure } from '../../src/core/target.ts'

export function fakeTargets(
  kek: KeyObject,
  clock: Clock,
  tools: ReadonlyMap<string, Target> = new Map(),
  limits: Partial<CallLimits> = {},
): Pick<Deps, 'vault' | 'targets' | 'toolCalls' | 'drifts' | 'looks'> {
  return {
    vault: createVault(kek),
    targets: {
      of({ url }) {
        const tool = tools.get(url)
        if (tool === undefined) throw new TargetFailure('refused', 'no such tool', { mayHaveActed: false })
        return tool
      },
      wake: () => {},
    },
    drifts: new Map(),
    looks: new Map(),
    toolCalls: createToolCalls(clock, { ...TARGET, ...limits }),
  }
}

// One agent, one tool with accounts of its own behind the real actions and a real store; the tool is a hostile fake.

import { issueCredential } from '../../src/actions/issue-credential.ts'
import type { CallLimits } from '../../src/actions/ports.ts'
import { reapAccounts } from '../../src/actions/reap-accounts.ts'
import { reconcileTargets } from '../../src/actions/reconcile-targets.ts'
import { createTakingAway, type TakingAway } from '../../src/actions/take-accounts-away.ts'
import type { Grant, Session } from '../../src/core/model.ts'
import type { Capabilities } from '../../src/core/target.ts'
import { type FakeTool, fakeTool } from '../support/fake-tool.ts'
import { createHarness, type Harness } from '../support/harness.ts'
import { accountTool, agent, entry, setOf } from '../support/manifest-set.ts'

export type Stage = {
  readonly h: Harness
  readonly tool: FakeTool
  readonly other: FakeTool
  session: Session
  grant: Grant
  /** As an agent's runtime does. */
  mint(session?: Session, grant?: Grant): ReturnType<typeof issueCredential>
  /** Time passes, and everything that comes round does, so many times. */
  rounds(times: number, seconds?: number): Promise<void>
  /** As after kill -9: what was in memory is gone. */
  crash(): Promise<void>
  close(): Promise<void>
}

export const LIMITS: Partial<CallLimits> = { createMs: 500, changeMs: 40, lookMs: 40, listMs: 1_000, settleMs: 5_000 }

export const SET = setOf(
  accountTool('desk'),
  accountTool('board'),
  agent('bot', {
    access: [entry('desk', ['read', 'comment'], { approval: 'none' }), entry('board', ['read'], { approval: 'none' })],
  }),
)

export async function createStage(capabilities: Partial<Capabilities> = {}): Promise<Stage> {
  const tool = fakeTool(capabilities)
  const other = fakeTool()
  const tools = new Map([
    ['https://desk.example.com', tool],
    ['https://board.example.com', other],
  ])
  const h = await createHarness({}, tools, LIMITS)
  await h.start(SET)
  let takingAway: TakingAway = createTakingAway(h.deps)
  const session = await h.session('bot')
  const grant = await h.grant(session, 'desk', ['read'])
  const shouted = new Set<string>()
  const stage: Stage = {
    h,
    tool,
    other,
    session,
    grant,
    mint: (by = stage.session, under = stage.grant) =>
      issueCredential(
        h.deps,
        { role: 'agent', agent: 'bot', session: by.id },
        { grant: under.id, scopes: null, details: null, via: 'exchange' },
        'req_mint',
      ),
    async rounds(times, seconds = 1) {
      for (let left = times; left > 0; left--) {
        h.disk.clock.advance(seconds)
        await (await reapAccounts(h.deps)).ended
        await takingAway.round()
        await reconcileTargets(h.deps, shouted)
      }
    },
    async crash() {
      await h.reopen()
      takingAway = createTakingAway(h.deps)
    },
    async close() {
      await takingAway.stop()
      await h.close()
    },
  }
  return stage
}

// What the product is for, on a real tool: an agent asks, its owner says yes, the agent works in the tool and nowhere
// else, and what is taken away is dead in the tool itself, as its own database says.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { DRIFT_AGENTS, describeDrift } from './drifting-tool.ts'
import { describeFaults, FAULT_AGENTS, testSettled } from './faulty-tool.ts'
import { describeKills, KILLED_AGENTS } from './killed-broker.ts'
import { type Latency, lifecycle } from './lifecycle.ts'
import { callApi, expectDone, idOf, type Json } from './people-and-agents.ts'
import {
  accessTo,
  type Held,
  OWNER,
  openToolStage,
  type Particulars,
  type Receipt,
  SETTLED,
  SOON,
  type ToolStage,
} from './tool-stage.ts'
import { waitUntil } from './wait-until.ts'

/** How often the lifecycle is measured: a few in CI, 20 for the table of the documentation. */
const ROUNDS = Number(process.env.HALLPASS_TOOL_ROUNDS ?? 3)
const BOTH = ['desk:first', 'desk:second'] as const

const AGENTS = {
  'mcp-bot': accessTo('desk', BOTH),
  'inline-bot': accessTo('desk', BOTH, 'delivery: inline'),
  'narrow-bot': accessTo('desk', BOTH),
  'removed-bot': accessTo('desk', BOTH),
  'taken-bot': accessTo('desk', BOTH),
  'locked-bot': accessTo('desk', BOTH),
  'leaving-bot': accessTo('desk', BOTH),
  'brief-bot': accessTo('sick', ['desk:first'], 'approval: none, tokenTtl: 8s'),
  'round-bot': accessTo('desk', ['desk:first'], 'approval: none'),
  ...FAULT_AGENTS,
  ...KILLED_AGENTS,
  ...DRIFT_AGENTS,
}

export function wholeBroker(particulars: Particulars): void {
  describe(`${particulars.called} and the whole broker`, () => {
    let stage: ToolStage
    const latencies: Latency[] = []
    beforeAll(async () => {
      stage = await openToolStage(particulars, AGENTS)
    })
    afterAll(async () => {
      await stage?.close()
      if (latencies.length > 0) process.stdout.write(tableOf(particulars.called, latencies))
    })

    const works = ({ secret }: Pick<Held, 'secret'>) => stage.subject.first(secret)
    const opens = async (use: { header: string; prefix: string }, secret: string) =>
      (await fetch(stage.subject.url + particulars.open, { headers: { [use.header]: use.prefix + secret } })).ok
    const right = (index: 0 | 1) => [stage.subject.rights[index]]

    /** Dead in the tool by itself, by its database and by the receipt, all three. */
    async function expectDead(held: Held, receipt: Receipt): Promise<void> {
      const { name, secret } = held
      const proof = receipt.confirmations.flatMap(({ accounts }) => accounts ?? []).find((one) => one.name === name)
      expect(proof).toEqual({
        name,
        status: 'gone',
        removedAfterMilliseconds: expect.any(Number),
        readBackAfterMilliseconds: expect.any(Number),
        probedDeadAfterMilliseconds: expect.any(Number),
      })
      expect([await stage.subject.first(secret), await stage.subject.second(secret)]).toEqual([false, false])
      expect(await stage.subject.inDatabase(name)).toBeNull()
      const removed = await stage.records('account.removed')
      expect(removed.filter(({ body }) => body.name === name)).toHaveLength(1)
    }

    // First: what a create may still do is waited for at the end.
    describeFaults(() => stage)
    const testKilledSettled = describeKills(() => stage)

    describe('an agent over MCP', () => {
      test('asks, its owner approves, and it works within its scope and no further: the tool refuses (P2, P4)', async () => {
        const before = await stage.subject.active()
        const added = async () => (await stage.subject.active()).filter((name) => !before.includes(name))
        const mcp = await stage.connect('mcp-bot')
        const listed = await mcp.call('list_access')
        expect(JSON.stringify(listed.body)).toContain('desk:second')
        const ask = { tool: 'desk', scopes: ['desk:first'], details: { place: ['ops'] }, reason: 'INC-4711' }
        const asked = await mcp.call('request_access', ask)
        expect(asked.body.status).toBe('pending')
        expect(await added()).toEqual([])
        const request = idOf(asked.body.request)
        await stage.approve(request)
        const granted = await mcp.call('access_status', { requestId: request, waitSeconds: 5 })
        expect(granted.body.status).toBe('granted')
        const grant = idOf(granted.body.grant)
        expect((await mcp.call('issue_token', { grantId: grant })).body).toMatchObject({
          error: { code: 'delivery_not_inline' },
        })
        expect(await added()).toEqual([])

        const { body } = await stage.exchange(mcp.sessionToken(), grant)
        expect(body).toMatchObject({ token_type: 'N_A', hallpass_use: particulars.use, scope: 'desk:first' })
        const held = await stage.mint(mcp.sessionToken(), grant)
        expect(held.secret.reveal()).toBe(body.access_token)
        expect(await opens(particulars.use, held.secret.reveal())).toBe(true)
        expect(await works(held)).toBe(true)
        expect(await stage.subject.second(held.secret)).toBe(false)
        expect(await stage.subject.foreign(held.secret)).toBe(false)
        expect(await stage.subject.inDatabase(held.name)).toEqual(right(0))
        expect(await stage.subject.count(held.name)).toBe(1)
        expect(JSON.stringify(await stage.records('credential.issued'))).not.toContain(held.secret.reveal())

        const released = await mcp.call('release_access', { grantId: grant })
        const receipt = await stage.confirmed({ receipt: { id: released.body.receipt } })
        await expectDead(held, receipt)
        await mcp.close()
      })

      test('with inline delivery gets the same in a result, with how it is sent (P4)', async () => {
        const mcp = await stage.connect('inline-bot')
        const ask = { tool: 'desk', scopes: ['desk:second'], details: { place: ['ops'] }, reason: 'INC-4711' }
        const request = idOf((await mcp.call('request_access', ask)).body.request)
        await stage.approve(request)
        const granted = await mcp.call('access_status', { requestId: request, waitSeconds: 5 })
        const grant = idOf(granted.body.grant)
        const { body } = await mcp.call('issue_token', { grantId: grant })
        expect(body).toMatchObject({ tokenType: 'N_A', use: particulars.use, scopes: ['desk:second'] })
        const [name = ''] = await stage.namesOf(grant)
        const { secret } = await stage.mint(mcp.sessionToken(), grant)
        expect(secret.reveal()).toBe(body.accessToken)
        expect([await stage.subject.first(secret), await stage.subject.second(secret)]).toEqual([false, true])
        expect(await stage.subject.inDatabase(name)).toEqual(right(1))
        await mcp.close()
      })
    })

    describe('taken away', () => {
      const acts: readonly {
        taken: string
        name: keyof typeof AGENTS
        act: (held: Held) => Promise<Json>
        undo?: (done: Json) => Promise<unknown>
      }[] = [
        {
          taken: 'grant revoked',
          name: 'taken-bot',
          act: ({ grant }) => expectDone(stage.asAdmin(`/grants/${grant}/revoke`, {})),
        },
        {
          taken: 'session revoked',
          name: 'taken-bot',
          act: ({ session }) => expectDone(stage.asAdmin(`/sessions/${session}/revoke`, {})),
        },
        {
          taken: 'agent locked',
          name: 'locked-bot',
          act: () => expectDone(stage.asAdmin('/locks', { kind: 'agent', name: 'locked-bot', reason: 'INC-4711' })),
          undo: (done) => expectDone(stage.asAdmin(`/locks/${idOf(done.lock)}`, undefined, 'DELETE')),
        },
        {
          taken: 'tool locked',
          name: 'taken-bot',
          act: () => expectDone(stage.asAdmin('/locks', { kind: 'tool', name: 'desk', reason: 'INC-4711' })),
          undo: (done) => expectDone(stage.asAdmin(`/locks/${idOf(done.lock)}`, undefined, 'DELETE')),
        },
        {
          taken: 'agent decommissioned',
          name: 'leaving-bot',
          act: () => expectDone(stage.asAdmin('/agents/leaving-bot/decommission', {})),
        },
      ]

      /** It lives for some seconds, which pass meanwhile. */
      let brief: Held
      beforeAll(async () => {
        brief = await stage.hold('brief-bot', 'desk:first', 'sick')
        expect(await works(brief)).toBe(true)
      })

      test.each(acts)(
        '$taken: dead in the tool, and the receipt says so only then (P5, P6, S15)',
        async ({ name, act, undo }) => {
          const held = await stage.hold(name)
          expect(await works(held)).toBe(true)
          expect(await stage.subject.inDatabase(held.name)).toEqual(right(0))
          const done = await act(held)
          await expectDead(held, await stage.confirmed(done))
          await undo?.(done)
          expect(await works(held)).toBe(false)
          expect(await stage.subject.inDatabase(held.name)).toBeNull()
        },
      )

      test('a scope out of the manifest: its account dies and the one beside it lives (P3)', async () => {
        const first = await stage.hold('narrow-bot', 'desk:first')
        const second = await stage.hold('narrow-bot', 'desk:second')
        expect([await works(first), await stage.subject.second(second.secret)]).toEqual([true, true])
        stage.write('narrow-bot', accessTo('desk', ['desk:first']))
        await waitUntil(async () => (await stage.subject.inDatabase(second.name)) === null, SOON)
        expect(await stage.subject.second(second.secret)).toBe(false)
        expect(await works(first)).toBe(true)
        expect(await stage.subject.inDatabase(first.name)).toEqual(right(0))
        const again = await callApi(stage.broker.issuer, second.sessionToken, '/requests', {
          tool: 'desk',
          scopes: ['desk:second'],
          details: { place: ['ops'] },
          reason: 'again',
        })
        expect(again.body.code).toBe('scope_not_in_manifest')
      })

      test('a manifest removed: all that the agent has in the tool dies (P3)', async () => {
        const first = await stage.hold('removed-bot', 'desk:first')
        const second = await stage.hold('removed-bot', 'desk:second')
        stage.forget('removed-bot')
        for (const held of [first, second]) {
          await waitUntil(async () => (await stage.subject.inDatabase(held.name)) === null, SOON)
          expect([await works(held), await stage.subject.second(held.secret)]).toEqual([false, false])
        }
      })

      test('a credential that ends by itself: the reaper takes the account (P5)', async () => {
        const held = brief
        await waitUntil(async () => (await stage.subject.inDatabase(held.name)) === null, SOON)
        expect(await works(held)).toBe(false)
        const left = await stage.records('account.leaving')
        const mine = left.filter(({ body }) => body.name === held.name)
        expect(mine.map(({ body }) => body.because)).toEqual(['its last credential ended'])
      })
    })

    describeDrift(() => stage)

    test('a drill makes a canary in the tool, uses it, and sees it dead; status shows the last one (P5)', async () => {
      // Its exit code says what else there is.
      const status = () => stage.broker.hallpassReading('', 'status')
      expect(await status()).toContain('desk: never')
      const before = await stage.subject.active()
      const printed = await stage.broker.hallpass('drill', 'desk', '--detail', 'place=ops', '--json')
      const drilled = z
        .object({ name: z.string(), outcome: z.string(), scope: z.string(), deadAfterMilliseconds: z.number() })
        .parse(JSON.parse(printed))
      expect(drilled).toMatchObject({ outcome: 'dead', scope: 'desk:first' })
      expect(await stage.subject.inDatabase(drilled.name)).toBeNull()
      expect((await stage.subject.active()).filter((name) => !before.includes(name))).toEqual([])
      expect(await stage.records('tool.drilled')).toHaveLength(1)
      expect(await status()).toMatch(/desk: dead after \d+ ms/)
      process.stdout.write(`${particulars.called}: ${printed}\n`)
    })

    test('a drill on a schedule, accepted by an admin, is made by the broker itself (S1, P5)', async () => {
      const before = await stage.subject.active()
      await stage.scheduleDrills('sick')
      const [drilled] = await waitUntil(async () => {
        const of = await stage.records('tool.drilled')
        const well = of.filter(({ subject, body }) => subject.tool === 'sick' && body.outcome === 'dead')
        return well.length > 0 ? well : null
      }, SETTLED)
      expect(await stage.subject.inDatabase(String(drilled?.body.name))).toBeNull()
      expect((await stage.subject.active()).filter((name) => !before.includes(name))).toEqual([])
      expect(await stage.broker.hallpassReading('', 'status')).toMatch(/sick: dead after \d+ ms, \S+ \(every 1h\)\n/)
      expect(await stage.metric('hallpass_tool_drill_failing{tool="sick"}')).toBe(0)
      process.stdout.write(`${particulars.called}, on schedule: ${JSON.stringify(drilled?.body)}\n`)
    })

    test('a secret found somewhere is told whose it is, and taken away in the tool (P1, P5)', async () => {
      const held = await stage.hold('drift-bot')
      const secret = held.secret.reveal()
      const said = await stage.broker.hallpassReading(secret, 'inspect', '-')
      for (const told of ['drift-bot', OWNER, held.grant, 'agents/drift-bot.yaml:', 'ALIVE', held.name])
        expect(said).toContain(told)
      expect(said).not.toContain(secret)
      expect(await works(held)).toBe(true)
      expect(await stage.broker.hallpassReading(secret, 'inspect', '-', '--revoke')).toContain('revoked')
      expect(await works(held)).toBe(false)
      expect(await stage.subject.inDatabase(held.name)).toBeNull()
      expect(await stage.broker.hallpassReading(secret, 'inspect', '-')).toContain('dead')
      expect(await stage.broker.hallpassReading('hunter2', 'inspect', '-')).toContain('Nothing')
    })

    test(
      `provision, first use and death, ${ROUNDS} times (P5)`,
      async () => {
        for (let round = 0; round < ROUNDS; round++) {
          const life = await lifecycle(stage, 'round-bot')
          await expectDead(life.held, life.receipt)
          latencies.push(life)
        }
      },
      Math.max(120_000, ROUNDS * 15_000),
    )

    testKilledSettled()
    testSettled(() => stage)
  })
}

function tableOf(called: string, latencies: readonly Latency[]): string {
  const of = (pick: (latency: Latency) => number) => {
    const sorted = latencies.map(pick).sort((a, b) => a - b)
    const median = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN
    return `${median.toFixed(0).padStart(7)} ${(sorted.at(-1) ?? Number.NaN).toFixed(0).padStart(7)}`
  }
  return `
${called} with the whole broker, ${latencies.length} times: ms     median   worst
  exchange answered: account made, read back, judged  ${of(({ provision }) => provision)}
  first use                                           ${of(({ firstUse }) => firstUse)}
  revoke asked for -> the tool refuses                ${of(({ dead }) => dead)}
  revoke -> removed, read back, probed dead, written  ${of(({ confirmed }) => confirmed)}
`
}

// docs/add-a-tool.md, typed word by word for a tool that Hallpass does not know: Icinga 2. Then agents over MCP in the very
// broker that the page made, and Icinga's own word for what became of their accounts.

import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { MCP_CLIENTS, type McpAgent } from '../support/mcp-clients.ts'
import { testDatabase } from '../support/test-store.ts'
import { openPage, readPage, type Typed } from '../support/typed-page.ts'
import { freePort } from './background.ts'
import { bearerIn } from './broker-process.ts'
import { installedTools } from './installed-tools.ts'
import { callApi, exchange, expectDone, idOf, type Json } from './people-and-agents.ts'

installedTools({ '/usr/sbin/icinga2': 'icinga2-bin', bash: 'bash', curl: 'curl' })

const ADMIN = `Basic ${btoa('hallpass:Adm1n-of-this-page')}`
const CLI = join(process.cwd(), 'src/cli.ts')
const SOON = { timeout: 20_000, interval: 25 }
const run = promisify(execFile)

let page: Typed
let issuer: string
let icinga: string
let owner: string
let admin: string
const [SEE, REPORT] = ['objects/query/Host', 'actions/process-check-result']

beforeAll(async () => {
  const [port, toolPort] = [await freePort(), await freePort()]
  const { database } = await testDatabase()
  page = openPage(
    { '8420': port, '5665': toolPort },
    {
      HALLPASS_PORT: String(port),
      HALLPASS_LOG: 'error',
      ...(database === undefined ? {} : { HALLPASS_DATABASE: database }),
    },
  )
  issuer = `http://127.0.0.1:${port}`
  icinga = `https://localhost:${toolPort}/v1`
})
afterAll(() => page?.close())

const hallpass = async (...args: string[]) =>
  (
    await run(process.execPath, [CLI, ...args], {
      cwd: page.folder,
      env: { ...process.env, HALLPASS_PORT: new URL(issuer).port, HOME: page.folder },
    })
  ).stdout

/** Icinga itself: status and answer. */
const ask = (path: string, authorization: string, body?: Json) =>
  new Promise<{ readonly status: number; readonly text: string }>((resolve, reject) => {
    const ca = readFileSync(join(page.folder, 'icinga/data/certs/ca.crt'))
    const headers = { authorization, accept: 'application/json' }
    const sent = request(icinga + path, { method: body ? 'POST' : 'GET', ca, headers, agent: false }, (answer) => {
      let text = ''
      answer.on('data', (chunk) => (text += String(chunk)))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
    })
    sent.on('error', reject)
    sent.end(body === undefined ? '' : JSON.stringify(body))
  })

const users = z.object({
  results: z.array(z.object({ name: z.string(), attrs: z.object({ permissions: z.array(z.string()) }) })),
})
/** What Icinga says that an account may; null: it has none of that name. */
const heldBy = async (name: string): Promise<readonly string[] | null> => {
  const found = users.parse(JSON.parse((await ask('/objects/apiusers', ADMIN)).text))
  return found.results.find((one) => one.name === name)?.attrs.permissions ?? null
}

type Held = { readonly secret: string; readonly name: string; readonly grant: string }
const sees = async ({ secret }: Held) => (await ask('/objects/hosts', `Basic ${secret}`)).status
const reports = async ({ secret }: Held) =>
  (
    await ask('/actions/process-check-result?host=web-1', `Basic ${secret}`, {
      exit_status: 0,
      plugin_output: 'up',
    })
  ).status

/** An agent over MCP, asks, its owner says yes, its runtime redeems the grant. */
async function hold(mcp: McpAgent, scope: string): Promise<Held> {
  const asked = await mcp.call('request_access', { tool: 'icinga', scopes: [scope], reason: 'INC-9: web-1' })
  expect(asked.body.status).toBe('pending')
  const id = idOf(asked.body.request)
  await expectDone(callApi(issuer, owner, `/requests/${id}/approve`, {}))
  const granted = await mcp.call('access_status', { requestId: id, waitSeconds: 5 })
  const grant = idOf(granted.body.grant)
  const { access_token: secret } = await expectDone(exchange(issuer, mcp.sessionToken(), grant))
  return { secret: String(secret), grant, name: atob(String(secret)).split(':')[0] ?? '' }
}

const connect = (name: string) =>
  MCP_CLIENTS['the official client, pinned to 2026-07-28']!(
    { url: issuer, agents: { [name]: { keyPath: join(page.folder, `${name}.pem`) } } },
    name,
  )

/** Accepts all that waits for the owner. */
async function acceptAll(bearer: string): Promise<void> {
  const { items } = z
    .object({ items: z.array(z.looseObject({ id: z.string(), status: z.string(), waiting: z.number() })) })
    .parse(await expectDone(callApi(issuer, bearer, '/revisions')))
  const waiting = items.find((one) => one.status === 'in force')
  await callApi(issuer, bearer, `/revisions/${waiting?.id}/accept`, {})
}

const receipts = z.object({
  status: z.string(),
  confirmations: z.array(
    z.object({
      accounts: z.array(
        z.object({ name: z.string(), status: z.string(), probedDeadAfterMilliseconds: z.number().nullable() }),
      ),
    }),
  ),
})
/** The receipt, once every account of it was seen dead. */
const confirmed = (id: string) =>
  vi.waitUntil(async () => {
    const now = receipts.parse(await expectDone(callApi(issuer, admin, `/receipts/${id}?wait=5`)))
    return now.status === 'revoked' ? now : null
  }, SOON)

test('the page is followed word by word, and prints what it says', { timeout: 180_000 }, async () => {
  const blocks = readPage('docs/add-a-tool.md')
  expect(blocks.length).toBeGreaterThan(25)
  await page.type(blocks, {
    again: /revision list$|objects\/hosts|tool reconcile/,
    async after(command) {
      if (command.includes('icinga2.conf >'))
        await vi.waitUntil(async () => (await ask('', ADMIN).catch(() => null))?.status === 200, SOON)
      if (command.includes('hallpass approve'))
        await vi.waitUntil(() => readFileSync(join(page.folder, 'credential'), 'utf8').length > 10, SOON)
    },
  })
  owner = bearerIn(await hallpass('owner', 'token', 'you@example.com'), 'owner')
  admin = bearerIn(await hallpass('admin', 'token', '--role', 'admin'), 'admin')
})

describe('with what the page made', () => {
  test('agents over MCP work within their scope and no further; narrowing and decommissioning take just that (P2, P3, P4, P5, P6)', async () => {
    for (const name of ['first-bot', 'second-bot'])
      await hallpass(
        'agent',
        'new',
        name,
        '--owner',
        'you@example.com',
        '--access',
        'icinga=host:see,host:report',
        '--out',
        join(page.folder, `${name}.pem`),
      )
    await vi.waitUntil(async () => {
      await acceptAll(owner)
      const mcp = await connect('second-bot').catch(() => null)
      await mcp?.close()
      return mcp !== null
    }, SOON)
    const [first, second] = [await connect('first-bot'), await connect('second-bot')]
    const [seeing, reporting, other] = [
      await hold(first, 'host:see'),
      await hold(first, 'host:report'),
      await hold(second, 'host:see'),
    ]
    expect([await heldBy(seeing.name), await heldBy(reporting.name)]).toEqual([[SEE], [REPORT]])
    expect([await sees(seeing), await reports(seeing)]).toEqual([200, 404])
    expect([await sees(reporting), await reports(reporting)]).toEqual([404, 200])

    // A scope out of the manifest: just that account dies.
    const manifest = join(page.folder, 'scopes/agents/first-bot.yaml')
    writeFileSync(
      manifest,
      readFileSync(manifest, 'utf8').replace(/^ *- "?host:report"?\n|, *"?host:report"?|"?host:report"?, */m, ''),
    )
    await vi.waitUntil(async () => (await heldBy(reporting.name)) === null, SOON)
    expect(await reports(reporting)).toBe(401)
    expect([await sees(seeing), await sees(other)]).toEqual([200, 200])

    const gone = await expectDone(callApi(issuer, admin, '/agents/first-bot/decommission', {}))
    const { confirmations } = await confirmed(idOf(gone.receipt ?? gone))
    expect(confirmations.flatMap(({ accounts }) => accounts)).toContainEqual({
      name: seeing.name,
      status: 'gone',
      probedDeadAfterMilliseconds: expect.any(Number),
    })
    expect([await heldBy(seeing.name), await sees(seeing), await sees(other)]).toEqual([null, 401, 200])
    await first.close()
    await second.close()
  })

  test('a user that was widened by hand is brought back, and the next recipe ends what the last one made (P10, S1, S3)', async () => {
    const mcp = await connect('second-bot')
    const held = await hold(mcp, 'host:report')
    await ask(`/objects/apiusers/${held.name}`, ADMIN, { attrs: { permissions: [REPORT, 'status/query'] } })
    // It says with its exit that something was amiss.
    await hallpass('tool', 'reconcile', 'icinga').catch(() => '')
    expect(await heldBy(held.name)).toEqual([REPORT])
    expect(await reports(held)).toBe(200)
    // What the page's last edit proposed is accepted now.
    await acceptAll(admin)
    await vi.waitUntil(async () => (await heldBy(held.name)) === null, SOON)
    expect(await reports(held)).toBe(401)
    await mcp.close()
  })
})

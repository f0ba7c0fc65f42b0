// What a tool's MCP server says, in Debian's Chromium against the real broker and a real MCP server: read as text, accepted by a
// click, and not accepted where it changed meanwhile.

import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { keepDefinitions, mcpInForce } from '../../src/actions/look-at-definitions.ts'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import {
  SECRET as DESK_SECRET,
  editForDesk,
  startUpstreamServer,
  TOOLS,
  type UpstreamServer,
} from '../support/upstream-server.ts'
import { inaccessible, inPage, launchChromium, openPage } from './chromium.ts'
import { installedTools } from './installed-tools.ts'

const tools = installedTools({ chromium: 'chromium' })

let desk: UpstreamServer
let broker: SampleBroker
let browser: Browser
beforeAll(async () => {
  vi.stubEnv('HALLPASS_TOOL_DESK', DESK_SECRET)
  desk = await startUpstreamServer()
  desk.say({ ...TOOLS.slow!, description: 'Takes <img src=/x onerror="window.hacked=1"> its\u202e time.' })
  broker = await startSampleBroker({ edit: (scopesPath) => editForDesk(desk, scopesPath) })
  browser = await launchChromium(tools.chromium)
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await browser?.close()
  await broker?.close()
  await desk?.close()
})

const rowOf = async () => {
  const { store } = broker.running.broker.deps
  return (await store.read(['definition/desk/slow'])).get('definition', 'desk/slow')
}

/** As its server is asked the next time; a minute later it would be asked anyway. */
async function says(description: string) {
  const tool = { ...TOOLS.slow!, description }
  desk.say(tool)
  const { deps } = broker.running.broker
  const mcp = (await mcpInForce({ read: deps.store.read.bind(deps.store) }, 'desk'))!
  await keepDefinitions(deps, 'desk', mcp, new Map([['slow', tool]]), 'rid_look')
}

test('an owner reads the words as text and accepts them; words that changed since are not accepted (S3, S5, S20)', {
  timeout: 180_000,
}, async () => {
  await vi.waitFor(async () => expect((await rowOf())?.offered).toBeTruthy(), { timeout: 30_000, interval: 250 })
  const watched = await openPage(browser, {})
  const { page } = watched
  await page.goto(`${broker.url}/`)
  await page.getByLabel('Owner token').fill(await broker.ownerToken(SAMPLE_OWNERS.agents))
  await page.getByRole('button', { name: 'Sign in' }).click()
  const accept = page.getByRole('button', { name: 'Accept these words' })
  await accept.waitFor()
  expect(await page.locator('#view pre').first().textContent()).toContain(
    '+ description: Takes <img src=/x onerror="window.hacked=1"> its time.',
  )
  expect(await page.locator('#view').locator('img, script').count()).toBe(0)
  expect(await inPage(page, z.boolean(), 'window.hacked === undefined')).toBe(true)
  expect(await inaccessible(page)).toEqual([])
  await accept.click()
  await page.getByRole('heading', { name: 'Accepted' }).waitFor()
  expect(await rowOf()).toMatchObject({ offered: null, pinned: { by: SAMPLE_OWNERS.agents } })

  // Another description: shown against the one before; and it changes once more while the page is open.
  await says('Takes its time, and your keys.')
  await page.reload()
  await accept.waitFor()
  expect(await page.locator('#view').textContent()).toContain('changed since it was accepted')
  const before = await rowOf()
  await says('Takes all your keys.')
  await accept.click()
  await page.getByText('is not what you were shown').waitFor()
  expect(await rowOf()).toMatchObject({ pinned: { digest: before?.pinned?.digest } })
  await watched.close()
})

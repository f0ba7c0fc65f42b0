// A receipt in Debian's Chromium, of an account in a real InfluxDB that could first not be taken away and then was: what a
// person sees is what the tool says, on a desk and on a phone.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { inaccessible, launchChromium, openPage, unreadableText } from './chromium.ts'
import { influxdbSubject } from './influxdb-subject.ts'
import { installedTools } from './installed-tools.ts'
import { expectDone, idOf } from './people-and-agents.ts'
import { accessTo, openToolStage, SOON, type ToolStage } from './tool-stage.ts'

const tools = installedTools({ chromium: 'chromium' })
/** Kept where it is named, to be looked at. */
const pictures = process.env.HALLPASS_PICTURES ?? mkdtempSync(join(tmpdir(), 'hallpass-receipt-'))

let stage: ToolStage
let browser: Browser
beforeAll(async () => {
  const influxdb = {
    called: 'InfluxDB',
    type: 'influxdb',
    rights: ['READ:{place}', 'WRITE:{place}'],
    start: influxdbSubject,
    use: { header: 'authorization', prefix: 'Basic ' },
    open: '/query?q=SHOW+DATABASES',
    lie: '{"results":[{"statement_id":0,"error":"not now"}]}',
  } as const
  stage = await openToolStage(influxdb, { 'seen-bot': accessTo('sick', ['desk:first'], 'approval: none') })
  browser = await launchChromium(tools.chromium)
})
afterAll(async () => {
  await browser?.close()
  await stage?.close()
  if (process.env.HALLPASS_PICTURES === undefined) rmSync(pictures, { recursive: true, force: true })
})

async function check(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true })
  expect(await unreadableText(page), name).toEqual([])
  expect(await inaccessible(page), name).toEqual([])
}

test.each([
  ['light', { width: 1100, height: 900 }],
  ['dark', { width: 320, height: 640 }],
] as const)(
  'in %s the account is still there until the tool shows it dead, and then so is the proof (P5, S15, S20)',
  async (colorScheme, viewport) => {
    const held = await stage.hold('seen-bot', 'desk:first', 'sick')
    stage.proxy.strike({ forwarded: false, answer: 'cut' })
    const receipt = idOf(
      await expectDone(stage.asAdmin(`/grants/${held.grant}/revoke`, { reason: '<b>INC-4711</b> is closed' })),
    )
    const watched = await openPage(browser, { colorScheme, viewport })
    const { page } = watched
    const shown = async () => ((await page.locator('#view').textContent()) ?? '').replace(/\s+/g, ' ')
    const again = () => page.getByRole('link', { name: 'Look again' }).click()
    await page.goto(`${stage.broker.issuer}/`)
    await page.getByLabel('Owner token').fill(stage.broker.ownerToken)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('link', { name: 'All that was taken away' }).click()
    await page.getByRole('link', { name: `grant/${held.grant}` }).waitFor()
    await check(page, `receipts-${colorScheme}`)
    await page.getByRole('link', { name: `grant/${held.grant}` }).click()
    await page.getByRole('heading', { name: 'Receipt' }).waitFor()
    expect(page.url()).toBe(`${stage.broker.issuer}/receipts/${receipt}`)
    await vi.waitUntil(async () => {
      await again()
      return (await shown()).includes('Last failure')
    }, SOON)
    expect(await shown()).toMatch(/being revoked|outstanding/)
    expect(await shown()).toContain('is still there')
    expect(await page.locator('blockquote').textContent()).toBe('<b>INC-4711</b> is closed')
    expect(await stage.subject.inDatabase(held.name)).not.toBeNull()
    await check(page, `revoking-${colorScheme}`)

    stage.proxy.strike(null)
    await vi.waitUntil(async () => {
      if ((await page.getByRole('link', { name: 'Look again' }).count()) > 0) await again()
      return /after it was asked/.test(await shown())
    }, SOON)
    expect(await stage.subject.inDatabase(held.name)).toBeNull()
    const proof = (await stage.receiptOf(receipt)).confirmations[0]?.accounts?.[0]
    const text = await shown()
    expect(text).toMatch(
      new RegExp(`${held.name} Removed ?after .*Probed dead ?after ${proof?.probedDeadAfterMilliseconds} ms`),
    )
    await check(page, `revoked-${colorScheme}`)
    await page.reload()
    await page.getByRole('heading', { name: 'Receipt' }).waitFor()
    expect([watched.faults, await watched.violations(), watched.cookies]).toEqual([[], [], []])
    await watched.close()
  },
)

// The owners' page in Debian's Chromium, against the real broker: what a person sees and decides, by keyboard too, and
// what a page of somebody else on the same loopback cannot do.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { freePort } from './background.ts'
import { focused, inaccessible, inPage, launchChromium, openPage, tabTo, unreadableText } from './chromium.ts'
import { installedTools } from './installed-tools.ts'
import { callApi, expectDone, type Json, openSession, readIdentity } from './people-and-agents.ts'

const tools = installedTools({ chromium: 'chromium' })

const folder = mkdtempSync(join(tmpdir(), 'hallpass-console-'))
let broker: SampleBroker
let browser: Browser
let owner: string
let session: string

beforeAll(async () => {
  broker = await startSampleBroker()
  owner = await broker.ownerToken(SAMPLE_OWNERS.agents)
  const triageBot = await readIdentity('triage-bot', readFileSync(broker.agents['triage-bot']?.keyPath ?? '', 'utf8'))
  session = await openSession(broker.url, triageBot)
  browser = await launchChromium(tools.chromium)
})

afterAll(async () => {
  await browser?.close()
  await broker?.close()
  rmSync(folder, { recursive: true, force: true })
})

const REASON = 'INC-4711: checkout answers 502'
const Asked = z.object({
  request: z.object({ id: z.string(), words: z.string() }),
  approveUrl: z.string(),
})

let asked = 0
/** A new request that waits for its owner; each for another second, so that none is the one before. */
async function waiting(reason = REASON) {
  asked += 1
  const answer = await callApi(broker.url, session, '/requests', {
    tool: 'tickets',
    scopes: ['ticket:read', 'ticket:comment'],
    details: { queue: ['incidents'] },
    durationSeconds: 7200 + asked,
    reason,
  })
  const { request, approveUrl } = Asked.parse(await expectDone(Promise.resolve(answer)))
  return { ...request, approveUrl }
}

const stateOf = (id: string): Promise<Json> => expectDone(callApi(broker.url, owner, `/requests/${id}`))

/** A page that must stay spotless: whatever the test, it asks the broker alone, is given no cookie, and nothing in it fails. */
async function open(url: string, options: BrowserContextOptions & { readonly faults?: RegExp } = {}) {
  const { faults: expected, ...context } = options
  const watched = await openPage(browser, context)
  onTestFinished(async () => {
    const { page, requests, faults, cookies } = watched
    const violations = await watched.violations()
    const kept = await page.context().cookies()
    await watched.close()
    expect(requests.filter((one) => !one.includes(` ${broker.url}/`))).toEqual([])
    expect(faults.filter((one) => expected?.test(one) !== true)).toEqual([])
    expect(violations).toEqual([])
    expect([...cookies, ...kept]).toEqual([])
    expect(requests.join()).not.toContain(owner)
  })
  await watched.page.goto(url)
  return watched
}

async function signIn(page: Page, token = owner): Promise<void> {
  await page.getByLabel('Owner token').fill(token)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** Opens the link of a request, as it was sent to its owner, and signs in there. */
async function look(approveUrl: string, options: Parameters<typeof open>[1] = {}) {
  const watched = await open(approveUrl, options)
  await signIn(watched.page)
  await watched.page.getByRole('heading', { level: 1 }).waitFor()
  return watched
}

describe('an owner who opens the link of a request', () => {
  test('sees nothing before signing in, then who asks for what, for how long and why (P4, S20)', async () => {
    const { approveUrl, words } = await waiting()
    const { page } = await open(approveUrl)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(await page.content()).not.toMatch(/triage-bot|ticket:|INC-4711/)
    expect(await page.content()).not.toContain(words)
    expect(await inPage(page, z.string(), 'document.activeElement.id')).toBe('token')

    await signIn(page)
    await page.getByRole('heading', { name: 'An agent asks for access' }).waitFor()
    const shown = await page.locator('#view').textContent()
    for (const part of [words, 'triage-bot', 'tickets', 'queue: incidents', SAMPLE_OWNERS.agents, REASON])
      expect(shown).toContain(part)
    expect(await page.getByRole('checkbox', { name: /ticket:read Read tickets low risk/ }).isChecked()).toBe(true)
    expect(
      await page.getByRole('checkbox', { name: /ticket:comment Comment on a ticket medium risk/ }).isChecked(),
    ).toBe(true)
    expect(await page.title()).toBe('An agent asks for access · Hallpass')
    expect(page.url()).toBe(approveUrl)
  })

  test("sees the agent's reason as text, whatever it wrote (S20)", async () => {
    const hostile =
      '<img src=/x onerror="window.hacked=1"><script>window.hacked=1</script><b>approved</b> \u202Egnp.exe\u202C \u2066a\u2069\u200bb \u001b[31mred'
    const { page, requests } = await look((await waiting(hostile)).approveUrl)
    expect(await page.locator('blockquote').textContent()).toBe(
      '<img src=/x onerror="window.hacked=1"><script>window.hacked=1</script><b>approved</b> gnp.exe ab [31mred',
    )
    expect(await page.locator('#view').locator('img, script, b').count()).toBe(0)
    expect(await inPage(page, z.boolean(), 'window.hacked === undefined')).toBe(true)
    expect(requests).not.toContain(`GET ${broker.url}/x`)
  })

  test('approves less than was asked, with the keyboard alone (P2, P4)', async () => {
    const { id, approveUrl } = await waiting()
    const { page } = await open(approveUrl)
    await page.getByLabel('Owner token').waitFor()
    await page.keyboard.type(owner)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'An agent asks for access' }).waitFor()
    const toComment = await page.getByRole('checkbox', { name: /ticket:comment/ }).getAttribute('id')
    const way = [...(await tabTo(page, toComment ?? ''))]
    await page.keyboard.press('Space')
    way.push(...(await tabTo(page, 'duration')))
    await page.keyboard.press('ArrowDown')
    way.push(...(await tabTo(page, 'approve')))
    expect(way.filter(({ isSeen }) => !isSeen)).toEqual([])
    expect(await stateOf(id)).toMatchObject({ status: 'pending' })
    await page.keyboard.press('Enter')

    await page.getByRole('heading', { name: 'Approved' }).waitFor()
    const said = await page.locator('#view').textContent()
    expect(said).toContain('triage-bot may use ticket:read on tickets for 1h.')
    expect(said).toContain('less than it asked for')
    const { grantId, status } = await stateOf(id)
    expect(status).toBe('approved')
    const { items } = z
      .object({ items: z.array(z.looseObject({ id: z.string() })) })
      .parse(await expectDone(callApi(broker.url, owner, '/grants?agent=triage-bot')))
    expect(items.find((grant) => grant.id === grantId)).toMatchObject({
      scopes: ['ticket:read'],
      approvedBy: [SAMPLE_OWNERS.agents],
    })
  })

  test('approves nothing by Enter in a field, nor with no scope ticked (P4)', async () => {
    const { id, approveUrl } = await waiting()
    const { page, requests } = await look(approveUrl)
    await page.getByRole('checkbox').first().press('Enter')
    await page.getByLabel('Why not').press('Enter')
    for (const box of await page.getByRole('checkbox').all()) await box.uncheck()
    await page.getByRole('button', { name: 'Approve' }).click()
    expect(await page.getByRole('alert').textContent()).toBe('Choose at least one scope, or deny.')
    expect(requests.filter((one) => one.startsWith('POST'))).toEqual([])
    expect(await stateOf(id)).toMatchObject({ status: 'pending' })
  })

  test('denies with a reason, which the agent gets to read (P4, P8)', async () => {
    const { id, approveUrl } = await waiting()
    const { page } = await look(approveUrl)
    await page.getByLabel('Why not').fill('Ask the desk first.')
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.getByRole('heading', { name: 'Denied' }).waitFor()
    const seen = await expectDone(callApi(broker.url, session, `/requests/${id}`))
    expect(JSON.stringify(seen)).toContain('Ask the desk first.')
    await page.reload()
    await page.getByRole('heading', { name: 'This request was denied' }).waitFor()
    expect(await page.getByRole('button', { name: /Approve|Deny/ }).count()).toBe(0)
  })

  test('cannot decide a second time what was decided meanwhile, and is told so (S8)', async () => {
    const { id, approveUrl } = await waiting()
    const { page } = await look(approveUrl, { faults: /status of 409/ })
    await expectDone(callApi(broker.url, owner, `/requests/${id}/deny`, {}))
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByRole('heading', { name: 'That did not work' }).waitFor()
    expect(await stateOf(id)).toMatchObject({ status: 'denied' })
  })
})

test('the list leads to a request and back, and its address is kept in the history', async () => {
  const { words, approveUrl } = await waiting()
  const { page } = await look(`${broker.url}/`)
  await page.getByRole('link', { name: words }).click()
  await page.getByRole('heading', { name: 'An agent asks for access' }).waitFor()
  expect(page.url()).toBe(approveUrl)
  await page.goBack()
  await page.getByRole('heading', { name: 'Requests that wait for you' }).waitFor()
})

test('a widening that waits is shown as its difference, and accepted with the keyboard (S1)', async () => {
  const manifest = join(broker.scopesPath, 'agents', 'triage-bot.yaml')
  const text = readFileSync(manifest, 'utf8')
  expect(text).toContain('grantFor: 1h')
  writeFileSync(manifest, text.replace('grantFor: 1h', 'grantFor: 2h'))
  const Revisions = z.object({ items: z.array(z.object({ id: z.string(), waiting: z.number() })) })
  const waitingRevisions = async () => {
    const { items } = Revisions.parse(await expectDone(callApi(broker.url, owner, '/revisions')))
    return items.filter((one) => one.waiting > 0)
  }
  await vi.waitUntil(async () => (await waitingRevisions()).length > 0, { timeout: 10_000, interval: 50 })

  const { page } = await look(`${broker.url}/`)
  const row = page.getByRole('listitem').filter({ hasText: 'access/triage-bot/metrics' })
  expect(await row.locator('pre').textContent()).toMatch(/1h.*2h/s)
  expect(await row.textContent()).toContain(SAMPLE_OWNERS.agents)
  const way = await tabTo(page, 'accept')
  expect(way.filter(({ isSeen }) => !isSeen)).toEqual([])
  expect(await waitingRevisions()).toHaveLength(1)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Accepted' }).waitFor()
  expect(await page.locator('#view').textContent()).toContain('access/triage-bot/metrics: accepted.')
  expect(await waitingRevisions()).toEqual([])
})

describe('the token', () => {
  test.each([
    ['an invented one', 'hp_owner_nothing-that-was-ever-made', /401/],
    ['something else altogether', 'my password!', /^$/],
  ])('%s is refused in words, is not kept, and the form is there again (P8)', async (_, wrong, faults) => {
    const { page } = await open((await waiting()).approveUrl, { faults })
    await signIn(page, wrong)
    const alert = page.getByRole('alert')
    await alert.waitFor()
    expect(await alert.textContent()).toMatch(/token/i)
    expect(await page.getByLabel('Owner token').inputValue()).toBe('')
    expect(await page.getByLabel('Owner token').isVisible()).toBe(true)
    expect(await inPage(page, z.number(), 'sessionStorage.length')).toBe(0)
    await signIn(page)
    await page.getByRole('heading', { name: 'An agent asks for access' }).waitFor()
    expect(await alert.filter({ hasText: /token/i }).count()).toBe(0)
  })

  test('of somebody who owns nothing here opens nothing of the request (S7)', async () => {
    const { page } = await open((await waiting()).approveUrl, { faults: /status of 403/ })
    await signIn(page, await broker.ownerToken('omar@elsewhere.example'))
    await page.getByRole('alert').waitFor()
    expect(await page.locator('#view').textContent()).not.toMatch(/triage-bot|INC-4711/)
  })

  test("of the tool's owner shows the request and may deny it, not approve it (S7)", async () => {
    const { id, approveUrl } = await waiting()
    const { page } = await open(approveUrl)
    await signIn(page, await broker.ownerToken(SAMPLE_OWNERS.tickets))
    await page.getByRole('button', { name: 'Deny' }).waitFor()
    expect(await page.getByRole('button', { name: /Approve/ }).count()).toBe(0)
    expect(await page.getByRole('checkbox').first().isEnabled()).toBe(false)
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.getByRole('heading', { name: 'Denied' }).waitFor()
    expect(await stateOf(id)).toMatchObject({ status: 'denied', decidedBy: SAMPLE_OWNERS.tickets })
  })

  test('lies in the sessionStorage of its tab alone: no other tab, browser or store has it (S20)', async () => {
    const { approveUrl } = await waiting()
    const { page } = await look(approveUrl)
    const stores = await inPage(
      page,
      z.strictObject({
        session: z.record(z.string(), z.string()),
        local: z.number(),
        cookie: z.string(),
        databases: z.number(),
        caches: z.number(),
        href: z.string(),
      }),
      `(async () => ({ session: { ...sessionStorage }, local: localStorage.length, cookie: document.cookie,
        databases: (await indexedDB.databases()).length, caches: (await caches.keys()).length, href: location.href }))()`,
    )
    expect(stores).toEqual({
      session: { 'hallpass.token': owner },
      local: 0,
      cookie: '',
      databases: 0,
      caches: 0,
      href: approveUrl,
    })
    expect(await page.content()).not.toContain(owner)
    await page.reload()
    await page.getByRole('heading', { name: 'An agent asks for access' }).waitFor()

    const tab = await page.context().newPage()
    await tab.goto(approveUrl)
    await tab.getByRole('heading', { name: 'Sign in' }).waitFor()
    const elsewhere = await open(approveUrl)
    await elsewhere.page.getByRole('heading', { name: 'Sign in' }).waitFor()
    for (const one of [tab, elsewhere.page]) expect(await inPage(one, z.number(), 'sessionStorage.length')).toBe(0)
  })

  test('is forgotten at once by Sign out, with all that was shown (S20)', async () => {
    const { page } = await look((await waiting()).approveUrl)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(await inPage(page, z.number(), 'sessionStorage.length')).toBe(0)
    expect(await page.content()).not.toMatch(/triage-bot|INC-4711/)
    await page.reload()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  })
})

describe('a page of somebody else, on another port of the same loopback', () => {
  /** An empty page of another origin, on the same host and so the same site. */
  async function elsewhere(): Promise<Page> {
    const port = await freePort()
    const server = createServer((_, response) => {
      response.setHeader('content-type', 'text/html')
      response.end('<!doctype html><title>elsewhere</title><body></body>')
    }).listen(port, '127.0.0.1')
    onTestFinished(() => void server.close())
    const watched = await openPage(browser)
    onTestFinished(() => watched.close())
    await watched.page.goto(`http://127.0.0.1:${port}/`)
    return watched.page
  }

  /** What the page shows to its owner and posts when asked to approve. */
  async function decisionOn(approveUrl: string) {
    const { page } = await look(approveUrl)
    const hidden = (name: string) => page.locator(`input[name=${name}]`).inputValue()
    const body = {
      csrf: await hidden('csrf'),
      hash: await hidden('hash'),
      scopes: ['ticket:read'],
      durationSeconds: 300,
    }
    return JSON.stringify(body)
  }

  test('cannot frame it, nor hold on to a window of it (S20)', async () => {
    const { approveUrl } = await waiting()
    const page = await elsewhere()
    const failing = page.waitForEvent('requestfailed')
    await page.evaluate(`document.body.innerHTML = '<iframe src="${approveUrl}"></iframe>'`)
    const refusedFrame = await failing
    expect(refusedFrame.failure()?.errorText).toBe('net::ERR_BLOCKED_BY_RESPONSE')
    expect(await page.frameLocator('iframe').locator('#sign-in, #view').count()).toBe(0)

    const opening = page.waitForEvent('popup')
    await page.evaluate(`window.other = window.open('${approveUrl}'); undefined`)
    const popup = await opening
    await popup.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(await inPage(popup, z.boolean(), 'window.opener === null')).toBe(true)
    await vi.waitUntil(() => inPage(page, z.boolean(), 'window.other.closed'), { timeout: 10_000 })
  })

  const attacks = {
    'a fetch that asks first': (url: string, body: string, token: string) =>
      `fetch('${url}', { method: 'POST', headers: { authorization: 'Bearer ${token}', 'content-type': 'application/json' }, body: ${JSON.stringify(body)} }).then((answer) => answer.text()).catch(() => null)`,
    'a fetch that does not ask': (url: string, body: string) =>
      `fetch('${url}', { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'content-type': 'text/plain' }, body: ${JSON.stringify(body)} }).then((answer) => answer.text()).catch(() => null)`,
    'a form': (url: string, body: string) =>
      `(() => { document.body.innerHTML = '<iframe name="sink"></iframe><form method="post" enctype="text/plain" target="sink"><input></form>'
        const form = document.querySelector('form'); form.action = '${url}'
        form.firstChild.name = ${JSON.stringify(`${body.slice(0, -1)},"x":"`)}; form.firstChild.value = '"}'
        form.submit() })()`,
    'a beacon': (url: string, body: string) => `navigator.sendBeacon('${url}', ${JSON.stringify(body)})`,
  }

  test.each(Object.entries(attacks))(
    'cannot decide with %s, even where it knows the token, the form and what was shown (S20)',
    async (_, attack) => {
      const { id, approveUrl } = await waiting()
      const body = await decisionOn(approveUrl)
      const url = `${broker.url}/console/requests/${id}/approve`
      const page = await elsewhere()
      const ended: string[] = []
      page.context().on('requestfinished', (request) => ended.push(request.url()))
      page.context().on('requestfailed', (request) => ended.push(request.url()))
      await page.evaluate(`void ${attack(url, body, owner)}`)
      await vi.waitUntil(() => ended.includes(url), { timeout: 10_000 })
      expect(await stateOf(id)).toMatchObject({ status: 'pending' })

      // The same decision from the page's own origin is taken: it was the origin that failed.
      const headers = { authorization: `Bearer ${owner}`, 'content-type': 'application/json', origin: broker.url }
      expect((await fetch(url, { method: 'POST', headers, body })).status).toBe(200)
      expect(await stateOf(id)).toMatchObject({ status: 'approved' })
    },
  )

  test('cannot read what is shown, even with the token (S20)', async () => {
    const { id } = await waiting()
    const page = await elsewhere()
    const read = `fetch('${broker.url}/console/requests/${id}', { headers: { authorization: 'Bearer ${owner}' } }).then((answer) => answer.text(), () => 'refused')`
    expect(await inPage(page, z.string(), read)).toBe('refused')
  })
})

describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
  test.each([
    ['on a desk', { width: 1100, height: 900 }],
    ['on a phone', { width: 320, height: 640 }],
  ])('%s all is readable, named, and within the page', async (place, viewport) => {
    const { approveUrl } = await waiting()
    const { page } = await open(approveUrl, { colorScheme, viewport })
    const check = async (view: string) => {
      const path = join(folder, `${view}-${colorScheme}-${place.replaceAll(' ', '-')}.png`)
      await page.screenshot({ path, fullPage: true })
      expect(statSync(path).size).toBeGreaterThan(5000)
      expect(await unreadableText(page), view).toEqual([])
      expect(await inaccessible(page), view).toEqual([])
    }
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect((await focused(page)).isSeen).toBe(true)
    await check('sign-in')
    await signIn(page)
    await page.getByRole('heading', { name: 'An agent asks for access' }).waitFor()
    await check('request')
    await page.getByRole('link', { name: 'All that waits for you' }).click()
    await page.getByRole('heading', { name: 'Requests that wait for you' }).waitFor()
    await check('list')
    const [red = 0] = await inPage(
      page,
      z.array(z.number()),
      'getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)',
    )
    expect(colorScheme === 'dark' ? red < 64 : red > 192).toBe(true)
  })
})

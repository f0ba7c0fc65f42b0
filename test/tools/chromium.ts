// A real Chromium that reaches this machine's loopback and nothing else, and pages whose every request, message and
// breach of the content security policy is kept.

import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { z } from 'zod'

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
]

/** The longest that anything on a page may take, milliseconds. */
const WITHIN_MS = 20_000

export const launchChromium = (executablePath: string): Promise<Browser> =>
  chromium.launch({ executablePath, headless: true, args: ARGS, timeout: 60_000 })

export type WatchedPage = {
  readonly page: Page
  /** What was asked for, as `METHOD URL`. */
  readonly requests: readonly string[]
  /** Console errors and warnings, and errors that no script caught. */
  readonly faults: readonly string[]
  /** `Set-Cookie` headers that any answer carried. */
  readonly cookies: readonly string[]
  /** Breaches of the content security policy: `directive blocked`. */
  violations(): Promise<readonly string[]>
  /** Closes the whole browsing context, with everything that it kept. */
  close(): Promise<void>
}

/** A page in a browsing context of its own, as in a browser that was never here. */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<WatchedPage> {
  const context = await browser.newContext({ colorScheme: 'light', ...options })
  context.setDefaultTimeout(WITHIN_MS)
  await context.addInitScript(KEEP_VIOLATIONS)
  const page = await context.newPage()
  const requests: string[] = []
  const faults: string[] = []
  const cookies: string[] = []
  context.on('request', (request) => requests.push(`${request.method()} ${request.url()}`))
  context.on('response', async (response) => {
    const header = await response.headerValue('set-cookie').catch(() => null)
    if (header !== null) cookies.push(header)
  })
  page.on('websocket', (socket) => requests.push(`WS ${socket.url()}`))
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(message.text())
  })
  page.on('pageerror', (error) => faults.push(error.message))
  return {
    page,
    requests,
    faults,
    cookies,
    violations: () => inPage(page, z.array(z.string()), 'window.violations'),
    close: () => context.close(),
  }
}

const KEEP_VIOLATIONS = `window.violations = []
document.addEventListener('securitypolicyviolation', (event) =>
  window.violations.push(event.effectiveDirective + ' ' + event.blockedURI))`

/** The value of a JavaScript expression in the page, in the shape that is expected of it. */
export async function inPage<S extends z.ZodType>(page: Page, shape: S, expression: string): Promise<z.output<S>> {
  return shape.parse(await page.evaluate(expression))
}

const Unreadable = z.array(z.object({ text: z.string(), ratio: z.number() }))

/** Text with less contrast than WCAG 2.2 asks for at AA (1.4.3): 4.5, or 3 where it is large. */
export const unreadableText = (page: Page): Promise<z.output<typeof Unreadable>> =>
  inPage(
    page,
    Unreadable,
    `(() => {
      const channels = (colour) => colour.match(/[\\d.]+/g).map(Number)
      const luminance = (colour) => {
        const [r, g, b] = channels(colour).map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
      }
      const behind = (element) => {
        for (let at = element; at !== null; at = at.parentElement) {
          const colour = getComputedStyle(at).backgroundColor
          if ((channels(colour)[3] ?? 1) > 0) return colour
        }
        return 'rgb(255, 255, 255)'
      }
      const low = []
      const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
      while (texts.nextNode()) {
        const text = texts.currentNode.textContent.trim()
        const element = texts.currentNode.parentElement
        if (text === '' || !element.checkVisibility()) continue
        const style = getComputedStyle(element)
        const [one, other] = [luminance(style.color), luminance(behind(element))].sort((a, b) => b - a)
        const ratio = (one + 0.05) / (other + 0.05)
        const size = parseFloat(style.fontSize)
        const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
        if (ratio < (isLarge ? 3 : 4.5)) low.push({ text, ratio })
      }
      return low
    })()`,
  )

/** What of the page a person without a mouse, or without eyes, could not use; empty where all is well. */
export const inaccessible = (page: Page): Promise<readonly string[]> =>
  inPage(
    page,
    z.array(z.string()),
    `(() => {
      const faults = []
      const visible = (selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility())
      if (document.documentElement.lang === '') faults.push('no language')
      if (document.title.trim() === '') faults.push('no title')
      if (visible('h1').length !== 1) faults.push(visible('h1').length + ' headings of the first level')
      if (visible('main').length !== 1) faults.push('no main')
      const ids = [...document.querySelectorAll('[id]')].map((one) => one.id)
      for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) faults.push('two elements #' + id)
      for (const field of visible('input, select, textarea'))
        if ([...field.labels].every((label) => label.textContent.trim() === '')) faults.push('no label: ' + field.outerHTML)
      for (const control of visible('button, a[href]'))
        if (control.textContent.trim() === '') faults.push('no name: ' + control.outerHTML)
      for (const element of document.querySelectorAll('[aria-describedby]'))
        if (document.getElementById(element.getAttribute('aria-describedby')) === null) faults.push('describes nothing: ' + element.outerHTML)
      for (const element of document.querySelectorAll('[tabindex]')) if (element.tabIndex > 0) faults.push('its own order: ' + element.outerHTML)
      const { scrollWidth, clientWidth } = document.documentElement
      if (scrollWidth > clientWidth) faults.push('scrolls sideways: ' + scrollWidth + ' > ' + clientWidth)
      return faults
    })()`,
  )

/** What has the focus, and whether one sees that it has. */
export const focused = (page: Page): Promise<{ readonly element: string; readonly isSeen: boolean }> =>
  inPage(
    page,
    z.object({ element: z.string(), isSeen: z.boolean() }),
    `(() => {
      const { activeElement: at } = document
      const { outlineStyle, outlineWidth } = getComputedStyle(at)
      return {
        element: at.id || at.value || at.textContent.trim() || at.tagName,
        isSeen: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
      }
    })()`,
  )

/** Presses Tab until that has the focus, and answers all that had it on the way. */
export async function tabTo(
  page: Page,
  element: string,
): Promise<readonly { readonly element: string; readonly isSeen: boolean }[]> {
  const way: { readonly element: string; readonly isSeen: boolean }[] = []
  while (way.length < 30) {
    await page.keyboard.press('Tab')
    const at = await focused(page)
    way.push(at)
    if (at.element === element) return way
  }
  throw new Error(`Tab does not lead to ${element}: ${way.map((one) => one.element).join(', ')}`)
}

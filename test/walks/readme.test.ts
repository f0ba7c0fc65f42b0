// A stranger's quarter of an hour: types what the README shows, in a folder of its own, and compares what is printed.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testDatabase } from '../support/test-store.ts'
import { openPage, readPage, type Typed } from '../support/typed-page.ts'
import { freePort } from '../tools/background.ts'

let page: Typed

beforeAll(async () => {
  const port = await freePort()
  const { database } = await testDatabase()
  page = openPage(
    { '8420': port },
    {
      HALLPASS_PORT: String(port),
      HALLPASS_LOG: 'error',
      ...(database === undefined ? {} : { HALLPASS_DATABASE: database }),
    },
  )
})
afterAll(() => page?.close())

test('what the README shows is what is printed', { timeout: 180_000 }, async () => {
  const blocks = readPage('README.md')
  expect(blocks.length).toBeGreaterThan(15)
  await page.type(blocks, {
    again: /revision list$/,
    async after(command, since) {
      if (command.endsWith('example:hono-tool'))
        await expect.poll(since, { timeout: 30_000 }).toMatch(/listens|ready|http:\/\//)
      if (command.includes('hallpass approve'))
        await expect
          .poll(() => readFileSync(join(page.folder, 'credential'), 'utf8'), { timeout: 30_000 })
          .toMatch(/^eyJ/)
    },
  })
})

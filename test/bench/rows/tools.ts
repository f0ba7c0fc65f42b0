// Lives of accounts in one real tool, with a whole broker of their own: `node tools.ts redmine 20` prints them as JSON. It
// installs nothing, and says what is missing.

import { loadavg } from 'node:os'
import { lifecycle } from '../../tools/lifecycle.ts'
import { PARTICULARS } from '../../tools/particulars.ts'
import { accessTo, openToolStage } from '../../tools/tool-stage.ts'
import type { Lives } from '../report.ts'

const [name = '', rounds = '1'] = process.argv.slice(2)
const particulars = PARTICULARS[name as keyof typeof PARTICULARS]
const lives: Lives['lives'][number][] = []

async function measure(): Promise<string | undefined> {
  let stage: Awaited<ReturnType<typeof openToolStage>>
  try {
    stage = await openToolStage(particulars, { bot: accessTo('desk', ['desk:first'], 'approval: none') })
  } catch (thrown) {
    if (thrown instanceof Error && thrown.message.startsWith('Not installed here')) return thrown.message
    throw thrown
  }
  try {
    // The first one compiles code and fills the tool's caches.
    for (let round = 0; round <= Number(rounds); round++) {
      const { provision, firstUse, dead, confirmed } = await lifecycle(stage, 'bot')
      if (round > 0) lives.push({ provision, firstUse, dead, confirmed })
    }
    return undefined
  } finally {
    await stage.close()
  }
}

const missing = await measure()
const measured: Lives = {
  tool: particulars.called,
  lives,
  load: loadavg()[0] ?? Number.NaN,
  ...(missing === undefined ? {} : { missing }),
}
process.stdout.write(JSON.stringify(measured))

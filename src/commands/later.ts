// Commands of later versions: each exists and says so, so that nobody takes silence for success.

import type { Command } from 'commander'
import { Stop } from './stop.ts'

const LATER = [
  ['backup', 'copy the data'],
  ['restore', 'put a copy back'],
  ['db', 'look after the database'],
  ['incident', 'work through an incident'],
  ['report', 'report on access'],
] as const

const notYet = (what: string): Stop => new Stop(1, `this version does not have \`hallpass ${what}\` yet`)

export function addLater(program: Command): void {
  for (const [name, description] of LATER)
    program
      .command(name)
      .description(description)
      .option('--json', 'answer in JSON')
      .allowUnknownOption()
      .allowExcessArguments()
      .action(() => {
        throw notYet(name)
      })
}

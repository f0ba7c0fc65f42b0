// `--keep`: the broker and the tools stay up for whoever wants to try for themselves, until Ctrl-C. The token shown
// is of a broker on loopback that forgets everything when it stops.
import type { Narrator } from './narrator.ts'
import type { Stage } from './stage.ts'

/** Lines to paste. */
export function tellHowToTry({ broker, owner, ownerToken, metrics }: Stage, narrator: Narrator): void {
  const { url } = broker
  narrator.closing('It stays up until Ctrl-C. In one terminal, as an agent that asks:', [
    '',
    `  export HALLPASS_URL=${url} HALLPASS_AGENT=report-bot`,
    `  export HALLPASS_AGENT_KEY=${broker.agents['report-bot']?.keyPath}`,
    "  PASS=$(./hallpass token metrics --scope metrics:read --reason 'the weekly report' --wait 10m)",
    `  curl -H "Authorization: Bearer $PASS" '${metrics.resource}/api/v1/query?query=up'`,
  ])
  narrator.closing(`In another, as ${owner.name}, who answers for it:`, [
    '',
    `  export HALLPASS_URL=${url}`,
    `  export HALLPASS_TOKEN=${ownerToken}`,
    '  ./hallpass request watch',
    '  ./hallpass grant list',
    '  ./hallpass lock agent/report-bot --reason "just trying"',
    `  curl -H "Authorization: Bearer $HALLPASS_TOKEN" '${url}/v1/grants?agent=report-bot'`,
    '',
    `  The manifests to edit are in ${broker.scopesPath}`,
  ])
}

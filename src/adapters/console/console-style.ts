// How the page looks, as it is sent: light and dark, readable at any size, visible focus.

export const CONSOLE_STYLE = `:root {
  color-scheme: light dark;
  --ink: light-dark(#1c2330, #e8ebf1);
  --quiet: light-dark(#5a6474, #a0a9b8);
  --paper: light-dark(#f5f6f8, #12161d);
  --card: light-dark(#ffffff, #1b212b);
  --line: light-dark(#d8dde5, #323b49);
  --accent: light-dark(#1f5fbf, #7fb0ff);
  --on-accent: light-dark(#ffffff, #0d1420);
  --bad: light-dark(#b3261e, #ff9a92);
  --warn: light-dark(#8a5200, #ffc878);
  --good: light-dark(#1b6e3c, #7fd6a0);
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
header { display: flex; justify-content: space-between; align-items: center; max-width: 46rem; margin: 0 auto; padding: 1.25rem 1rem 0; }
main { max-width: 46rem; margin: 0 auto; padding: 1rem; outline: none; }
h1 { font-size: 1.35rem; margin: 0 0 .5rem; }
h2 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
a { color: var(--accent); }
.brand { font-weight: 700; letter-spacing: .01em; text-decoration: none; color: var(--ink); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1.25rem; margin: 0 0 1rem; }
.words { font-size: clamp(1.6rem, 6vw, 2.4rem); font-weight: 700; line-height: 1.2; margin: .25rem 0 1rem; }
.quiet { color: var(--quiet); font-size: .925rem; }
.notice { border-left: .25rem solid var(--accent); padding: .5rem .75rem; background: var(--card); }
.notice.bad { border-color: var(--bad); }
.notice.good { border-color: var(--good); }
.fault { color: var(--bad); min-height: 1.5em; margin: .25rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1rem; margin: 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
blockquote { margin: .25rem 0; padding: .5rem .75rem; border-left: .25rem solid var(--line); overflow-wrap: anywhere; }
fieldset { border: 1px solid var(--line); border-radius: .5rem; margin: 1rem 0; padding: .75rem 1rem; }
legend { padding: 0 .35rem; font-weight: 600; }
.scope { display: flex; gap: .65rem; align-items: baseline; padding: .3rem 0; }
.scope code { font-weight: 600; }
.risk { font-size: .8rem; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .5rem; white-space: nowrap; }
.state { font-size: .8rem; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .5rem; white-space: nowrap; }
.state-revoked { color: var(--good); }
.state-revoking { color: var(--warn); }
.state-outstanding { color: var(--bad); font-weight: 700; }
.state-unknown { color: var(--quiet); }
ul.accounts { margin: .5rem 0 0; padding: 0 0 0 1rem; }
ul.accounts > li { padding: .3rem 0; }
ul.accounts dl { gap: .1rem 1rem; margin: .15rem 0 0; font-size: .925rem; }
.risk-medium { color: var(--warn); }
.risk-high { color: var(--bad); font-weight: 700; }
.risk-low { color: var(--good); }
ul.rows { list-style: none; margin: 0; padding: 0; }
ul.rows > li { border-top: 1px solid var(--line); padding: .85rem 0; overflow-wrap: anywhere; }
ul.rows > li:first-child { border-top: 0; }
pre { background: var(--paper); border: 1px solid var(--line); border-radius: .5rem; padding: .65rem .8rem; overflow-x: auto; font-size: .9rem; white-space: pre-wrap; overflow-wrap: anywhere; }
label { display: block; font-weight: 600; margin: .5rem 0 .25rem; }
.scope label { display: inline; font-weight: 400; margin: 0; }
input[type=password], textarea, select { width: 100%; font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .7rem; }
input[type=checkbox] { accent-color: var(--accent); width: 1.1rem; height: 1.1rem; }
button { font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: .5rem; padding: .55rem 1rem; cursor: pointer; }
button.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
button.danger { border-color: var(--bad); color: var(--bad); }
button:disabled { opacity: .55; cursor: default; }
.actions { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
main:focus-visible { outline: none; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem; }
@media (max-width: 32rem) { dl { grid-template-columns: 1fr; } dt { margin-top: .5rem; } }
@media (prefers-reduced-motion: no-preference) { button { transition: opacity .15s; } }
`

package github

import (
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// pageData is what a page of the setup shows.
type pageData struct {
	Title string
	// Step is the one of setupSteps that the page is about, from 1; 0 shows none of them.
	Step  int
	Lines []string
	Facts []fact
	// Warning is why the setup may end well and nothing be built; empty for nothing.
	Warning string
	// Action gets the manifest when the button is pressed, or Link is where it leads.
	Action, Manifest, Link, Button string
	// After says what to do when the last step is done; Commands are for a terminal.
	After    string
	Commands []string
}

// fact is something that the farm asks GitHub for.
type fact struct {
	Name   string
	Values []string
}

// setupSteps are all that somebody does from the command to the first build.
func setupSteps() []string {
	return []string{"Make the App", "Install it on repositories", "Push a version tag"}
}

// Steps numbers the steps for the template.
func (d pageData) Steps() []string {
	if d.Step == 0 {
		return nil
	}
	return setupSteps()
}

// Current reports whether the page is about the step at i.
func (d pageData) Current(i int) bool { return i+1 == d.Step }

func stopped(err error) pageData {
	return pageData{Title: "The setup cannot go on", Lines: []string{err.Error()}}
}

// beginPage has the button that leads to GitHub, and tells before what GitHub is asked for.
func beginPage(s Setup, m appManifest) pageData {
	owner := "the user who is logged in at GitHub"
	if s.Account != "" {
		owner = "the organization " + s.Account
	}
	var permissions []string
	for _, name := range slices.Sorted(maps.Keys(m.Permissions)) {
		permissions = append(permissions, name+": "+m.Permissions[name])
	}
	page := pageData{
		Title: "Make the GitHub App “" + s.Name + "”", Step: 1,
		Lines: []string{
			"GitHub asks you to confirm the name, and gives this farm the App's secrets: nobody has to copy them. Nothing is installed yet.",
		},
		Facts: []fact{
			{"Belongs to", []string{owner}},
			{"Permissions", permissions},
		},
		Button: "Go on at " + s.WebURL,
	}
	if m.Hook == nil {
		page.Warning = "The App gets no webhook: this farm's address, " + m.URL + ", means another machine at GitHub. Tags are built when the farm " +
			"compares them, every ten minutes, or at once after 'modfarm github sync'. To be told of them, start the farm with --public-url and an " +
			"address that GitHub reaches, and run 'modfarm github setup' again."
		return page
	}
	page.Facts = append(page.Facts, fact{"Is told of", []string{strings.Join(m.Events, ", ")}}, fact{"Messages go to", []string{m.Hook.URL}})
	return page
}

func donePage(app App) pageData {
	return pageData{
		Title: "The GitHub App “" + app.Name + "” is set up", Step: 2,
		Lines:  []string{"Now install it on the account whose repositories hold your modules. Choose those repositories only."},
		Link:   app.PageURL + "/installations/new",
		Button: "Install it",
		After: "Then make the module that the repository's meta.json names, unless the farm has it, push a version tag, and look at the " +
			"commit's checks. The farm answers, too:",
		Commands: []string{
			"modfarm module create NAMESPACE:NAME",
			"git tag v0.1.0 && git push origin v0.1.0",
			"modfarm github tags",
		},
	}
}

//nolint:gochecknoglobals // a template, read once and never changed
var pages = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>{{.Title}} - Modfarm</title>
<style>
:root{--text:#1d2521;--soft:#55605a;--line:#d5dcd8;--card:#fff;--back:#f3f6f4;--go:#1f6f43;--on:#fff;--warn:#fff4d6;--warnline:#a36a00}
@media (prefers-color-scheme:dark){:root{--text:#e6ece8;--soft:#a3b0a8;--line:#3a453f;--card:#1a201d;--back:#111513;--go:#5fc98f;--on:#08150e;--warn:#33290f;--warnline:#d9a441}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;margin:0;padding:6vh 1rem;background:var(--back);color:var(--text)}
main{max-width:42rem;margin:auto;padding:1.5rem 2rem 2rem;background:var(--card);border:1px solid var(--line);border-radius:.6rem}
h1{font-size:1.5rem;line-height:1.25;margin:1rem 0}
.steps{display:flex;flex-wrap:wrap;gap:.3rem 1.5rem;margin:0;padding:0 0 1rem;border-bottom:1px solid var(--line);list-style-position:inside;color:var(--soft);font-size:.9rem}
.steps [aria-current]{color:var(--text);font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.5rem 1.25rem;margin:1.5rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.warning{background:var(--warn);border-left:.25rem solid var(--warnline);padding:.75rem 1rem}
button,a.b{display:inline-block;font:inherit;font-weight:600;padding:.55em 1.1em;border:0;border-radius:.4em;background:var(--go);color:var(--on);text-decoration:none;cursor:pointer}
button:focus-visible,a:focus-visible{outline:3px solid var(--text);outline-offset:2px}
pre{background:var(--back);border:1px solid var(--line);border-radius:.4em;padding:.75rem 1rem;overflow-x:auto}
code{font-family:ui-monospace,monospace;font-size:.9em}
@media (max-width:32rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.75rem}}
</style></head><body><main>
{{with .Steps}}<ol class="steps">{{range $i, $step := .}}<li{{if $.Current $i}} aria-current="step"{{end}}>{{$step}}</li>{{end}}</ol>
{{end}}<h1>{{.Title}}</h1>
{{range .Lines}}<p>{{.}}</p>
{{end}}{{with .Warning}}<p class="warning" role="alert">{{.}}</p>
{{end}}{{with .Facts}}<dl>{{range .}}<dt>{{.Name}}</dt><dd>{{range $i, $v := .Values}}{{if $i}}<br>{{end}}{{$v}}{{end}}</dd>{{end}}</dl>
{{end}}{{if .Action}}<form method="post" action="{{.Action}}"><input type="hidden" name="manifest" value="{{.Manifest}}"><button>{{.Button}}</button></form>
{{end}}{{if .Link}}<p><a class="b" href="{{.Link}}">{{.Button}}</a></p>
{{end}}{{with .After}}<p>{{.}}</p>
{{end}}{{with .Commands}}<pre><code>{{range .}}{{.}}
{{end}}</code></pre>
{{end}}</main></body></html>
`))

func (g *GitHub) show(w http.ResponseWriter, status int, d pageData) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer") // the address holds the state
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	if err := pages.Execute(w, d); err != nil {
		g.Log.Warn("github setup page", "error", err)
	}
}

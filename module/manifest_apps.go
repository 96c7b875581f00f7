package module

// The types of an Application.
const (
	// ApplicationSingleMachine shows one machine at a time.
	ApplicationSingleMachine = "single_machine"
	// ApplicationMultiMachine shows many machines together.
	ApplicationMultiMachine = "multi_machine"
)

func (r *jsonReader) applications(v jsonValue) []Application {
	var out []Application
	for i, element := range r.list("applications", v) {
		at := indexed("applications", i)
		if element.absent() {
			r.wrongType(at, element, "an object", "remove it")
			continue
		}
		out = append(out, r.application(at, element))
	}
	return out
}

func (r *jsonReader) application(at string, v jsonValue) Application {
	fields, unknown := r.object(at, v,
		"name", "type", "entrypoint", "fragmentIds", "allowedOrgIds", "logoPath", "customizations")
	a := Application{Unknown: unknown}
	if fields == nil {
		return a
	}
	a.Name = r.required(at+".name", fields["name"], "name the application")
	a.Type = r.required(at+".type", fields["type"], "write single_machine or multi_machine")
	if a.Type != "" && a.Type != ApplicationSingleMachine && a.Type != ApplicationMultiMachine {
		r.fault(at+".type", fields["type"], Fault{
			Value: a.Type, Problem: "not a type of application",
			Advice: choose(a.Type, ApplicationSingleMachine, ApplicationMultiMachine),
		})
	}
	a.Entrypoint = r.required(at+".entrypoint", fields["entrypoint"], "name the HTML file within the archive")
	if a.Entrypoint != "" {
		r.inside(at+".entrypoint", fields["entrypoint"])
	}
	a.FragmentIDs = r.texts(at+".fragmentIds", fields["fragmentIds"])
	a.AllowedOrgIDs = r.texts(at+".allowedOrgIds", fields["allowedOrgIds"])
	a.LogoPath = r.inside(at+".logoPath", fields["logoPath"])
	r.customizations(at+".customizations", fields["customizations"], &a)
	return a
}

// customizations reads the nested texts and keeps unknown keys level by level.
func (r *jsonReader) customizations(at string, v jsonValue, a *Application) {
	fields, unknown := r.object(at, v, "machinePicker")
	picker, unknownPicker := r.object(at+".machinePicker", fields["machinePicker"], "heading", "subheading")
	a.MachinePickerHeading, _ = r.text(at+".machinePicker.heading", picker["heading"])
	a.MachinePickerSubheading, _ = r.text(at+".machinePicker.subheading", picker["subheading"])
	a.UnknownCustomizations, a.UnknownMachinePicker = unknown, unknownPicker
}

// required reads a string that has to be there and not empty.
func (r *jsonReader) required(at string, v jsonValue, advice string) string {
	s, ok := r.text(at, v)
	if s == "" && (ok || v.absent()) {
		r.fault(at, v, Fault{Problem: "is missing", Advice: advice})
	}
	return s
}

package road

import "github.com/modfarm/modfarm/module"

// The strategies expected on a machine whose native platform is linux/amd64: Go
// and C are crossed, since nothing in them needs the target to run; a Python
// archive carries compiled extensions and is made by an interpreter of the
// target, under emulation.

// GoSensor is a Go module that serves the module protocol.
func GoSensor() Example {
	return Example{Name: "go-sensor", Probe: ProbeReady, Strategies: strategies(module.StrategyCross)}
}

// PythonSensor is the same in Python.
func PythonSensor() Example {
	return Example{Name: "python-sensor", Probe: ProbeReady, Strategies: strategies(module.StrategyQEMU)}
}

// CSensor is a C program of several files.
func CSensor() Example {
	return Example{Name: "c-sensor", Probe: ProbeOnce, Strategies: strategies(module.StrategyCross)}
}

func strategies(foreign module.Strategy) map[module.Platform]module.Strategy {
	return map[module.Platform]module.Strategy{
		{OS: "linux", Arch: "amd64"}: module.StrategyNative,
		{OS: "linux", Arch: "arm64"}: foreign,
	}
}

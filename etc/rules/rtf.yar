// RTF documents that load an object by themselves.  Word opens whatever starts with "{\rt".

rule RTF_Equation_Editor
{
    meta:
        name = "RTF.EquationEditor"
        verdict = "banned"
        description = "object of the Equation Editor (CVE-2017-11882, CVE-2018-0802)"
    strings:
        $start = /^\s{0,64}\{\s{0,8}\\rt/
        $class = /\\objclass\s{1,8}Equation/ nocase
        // "Equation.", and the class 0002CE02-0000-0000-C000-000000000046, as hexadecimal text
        $hex_name = /4\s{0,2}5\s{0,2}7\s{0,2}1\s{0,2}7\s{0,2}5\s{0,2}6\s{0,2}1\s{0,2}7\s{0,2}4\s{0,2}6\s{0,2}9\s{0,2}6\s{0,2}f\s{0,2}6\s{0,2}e\s{0,2}2\s{0,2}e/ nocase
        $hex_class = /02ce020000000000c000000000000046/ nocase
    condition:
        $start at 0 and any of ($class, $hex_name, $hex_class)
}

rule RTF_Object_Loads_Itself
{
    meta:
        name = "RTF.ObjectUpdate"
        verdict = "banned"
        description = "embedded or linked object that is updated as soon as the document opens"
    strings:
        $start = /^\s{0,64}\{\s{0,8}\\rt/
        $update = "\\objupdate"
        $data = "\\objdata"
    condition:
        $start at 0 and $update and $data
}
